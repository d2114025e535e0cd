# shellcheck shell=bash
# For run.sh and faults.sh, which source it in the top directory: what the tests need, installed where it is missing.

# shellcheck source=examples/prepare.sh
. examples/prepare.sh

need_packages \
  btrfs-progs ca-certificates debhelper debootstrap dpkg-dev e2fsprogs fish groff jq libsqliteodbc logrotate man-db mandoc \
  mariadb-server odbc-mariadb odbc-postgresql odbcinst openssh-client openssh-server postgresql procps python3-venv rsync \
  shellcheck sqlite3 squashfs-tools strace tmux unixodbc xfsprogs zsh
need_python
need_environment "$PWD/.venv" "$PWD" --editable "${PWD}[dev]"
PATH=$PWD/.venv/bin:$PATH

TMPDIR=$(mktemp -d)
export TMPDIR
chmod 1777 "$TMPDIR" # the databases run as users of their own
trap 'rm -rf "$TMPDIR"' EXIT
