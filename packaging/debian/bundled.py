"""Prints the distributions of the environment it runs in, one a line: name, version, licence."""

import sys
from importlib.metadata import PackageMetadata, distributions


def licence(metadata: PackageMetadata) -> str:
    """What its maker says, in the newest of the three ways."""
    said = metadata.get("License-Expression") or next(iter((metadata.get("License") or "").splitlines()), "")
    classifiers = [text.rpartition(" :: ")[2] for text in metadata.get_all("Classifier") or () if text.startswith("License ::")]
    return said or ", ".join(classifiers) or "see its *.dist-info"


listed = sorted((each.name, each.version, licence(each.metadata)) for each in distributions())
sys.stdout.writelines("\t".join(line) + "\n" for line in listed)
