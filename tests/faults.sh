#!/usr/bin/env bash
# Every fault of the list with all its seeds and points, and a table at the end: promise, tests, runs, result, cases.
# Takes hours, and wants root for mounts, loop devices and namespaces (what cannot be done here is skipped, and told).
#
#   tests/faults.sh               everything
#   tests/faults.sh --json FILE   the table as JSON, too
#   further arguments go to pytest: -k 'A1 or B5', --hypothesis-seed=N
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tests/prepare.sh
. tests/prepare.sh

python -m pytest -p tests.support.faulttable --thorough --timeout 3600 "$@"
