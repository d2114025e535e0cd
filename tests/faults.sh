#!/usr/bin/env bash
# Every fault of the list with all its seeds and points, and a table at the end: promise, tests, runs, result, cases.
# Takes hours, and wants root for mounts, loop devices and namespaces (what cannot be done here is skipped, and told).
#
#   tests/faults.sh               everything
#   tests/faults.sh --json FILE   the table as JSON, too
#   tests/faults.sh --soak N      instead: N seconds of work with a fault every few seconds (--seed S to repeat)
#   further arguments go to pytest: -k 'A1 or B5', --hypothesis-seed=N
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tests/prepare.sh
. tests/prepare.sh

if [ "${1-}" = --soak ]; then
  shift
  python -m tests.faults.soak --seconds "$@"
else
  python -m pytest -p tests.support.faulttable --thorough --timeout 3600 "$@"
fi
