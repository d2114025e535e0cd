#!/usr/bin/env bash
# All gates and tests. Installs what is missing on a fresh Debian or Ubuntu; runs from any directory, as often as you like.
#
#   tests/run.sh            everything, two files of tests at a time
#   tests/run.sh --quick    without the slow tests
#   further arguments go to pytest
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$top"
# shellcheck source=tests/prepare.sh
. tests/prepare.sh

failed=()
gate() { # NAME COMMAND...: the rest is run too when one fails
  local name=$1
  shift
  say "$name"
  "$@" || failed+=("$name: $1")
}

shopt -s nullglob
pages=(man/*.[1-9])
gate "style" ruff check
gate "format" ruff format --check
gate "types" mypy --strict
gate "shell scripts" shellcheck --external-sources .ci/run examples/*.sh packaging/build-* tests/*.sh
[ ${#pages[@]} = 0 ] || gate "man pages" mandoc -T lint -W warning "${pages[@]}"
gate "tests" pytest --numprocesses 2 --dist loadfile "$@"

[ ${#failed[@]} = 0 ] || { printf '\nfailed: %s\n' "${failed[@]}" >&2; exit 1; }
