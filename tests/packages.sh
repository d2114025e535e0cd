#!/usr/bin/env bash
# The Debian package in a new root of debootstrap's, where apt fetches what it depends on; lintian; builds that are the same byte
# for byte; and the other packages. Takes some minutes, root and the network; tests/run.sh tries a part of it over its own root.
#
#   tests/packages.sh
#   further arguments go to pytest
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tests/prepare.sh
. tests/prepare.sh
need_packages lintian

python -m pytest --thorough tests/system/test_packages.py "$@"
