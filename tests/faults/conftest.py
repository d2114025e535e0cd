"""Sites for the fault tests: those of the system tests, and one that is ready for the usual update, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.site import Site, catalog_place
from tests.support.sshd import Sshd
from tests.support.update import make_update
from tests.system.conftest import line, make_site, slow_site

__all__ = ["line", "make_site", "slow_site"]


@pytest.fixture(scope="session")
def shared_update(request: pytest.FixtureRequest, sshd: Sshd, tmp_path_factory: pytest.TempPathFactory) -> tuple[Site, Path]:
    directory = tmp_path_factory.mktemp("update") / "site"
    directory.mkdir()
    site = Site(directory, sshd, catalog_place("sqlite", request, directory))
    site.init()
    return site, make_update(site, directory.parent / "saved")


@pytest.fixture
def update(shared_update: tuple[Site, Path]) -> tuple[Site, Path]:
    """A site whose slave is about to be updated (tests.support.update), and where that slave is saved. Whoever publishes more
    makes a site of its own."""
    site, saved = shared_update
    site.restore(saved)
    return shared_update
