#!/usr/bin/env bash
# All gates and tests. Installs what is missing on a fresh Debian or Ubuntu; runs from any directory, as often as you like.
#
#   tests/run.sh            everything
#   tests/run.sh --quick    without the slow tests, two files of tests at a time
#   further arguments go to pytest
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$top"
# shellcheck source=examples/prepare.sh
. examples/prepare.sh

failed=()
gate() { # NAME COMMAND...: the rest is run too when one fails
  local name=$1
  shift
  say "$name"
  "$@" || failed+=("$name: $1")
}

need_packages \
  ca-certificates debootstrap e2fsprogs libsqliteodbc mandoc mariadb-server odbc-mariadb odbc-postgresql odbcinst openssh-client \
  openssh-server postgresql procps rsync shellcheck sqlite3 squashfs-tools strace unixodbc xfsprogs
need_python
need_environment "$top/.venv" "$top" --editable "${top}[dev]"
PATH=$top/.venv/bin:$PATH

TMPDIR=$(mktemp -d)
export TMPDIR
chmod 1777 "$TMPDIR" # the databases run as users of their own
trap 'rm -rf "$TMPDIR"' EXIT

shopt -s nullglob
pages=(man/*.[1-9])
gate "style" ruff check
gate "format" ruff format --check
gate "types" mypy --strict
gate "shell scripts" shellcheck --external-sources .ci/run examples/*.sh tests/*.sh
[ ${#pages[@]} = 0 ] || gate "man pages" mandoc -T lint -W warning "${pages[@]}"
at_once=()
for word in "$@"; do
  if [ "$word" = --quick ]; then at_once=(--numprocesses 2 --dist loadfile); fi
done
gate "tests" pytest "${at_once[@]}" "$@"

[ ${#failed[@]} = 0 ] || { printf '\nfailed: %s\n' "${failed[@]}" >&2; exit 1; }
