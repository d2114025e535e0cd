#!/usr/bin/env bash
# The main job on this one machine, in a few minutes: a real OS image is published, a slave fetches it over SFTP; the image
# is upgraded as an admin would do it, published again, and the slave fetches only what changed.
#
# For a fresh Debian or Ubuntu; installs what is missing (by sudo when not root). Everything else happens in one temporary
# directory, which is removed at the end; KEEP=1 keeps it.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=examples/prepare.sh
. "$top/examples/prepare.sh"

work=$(mktemp -d "${TMPDIR:-/tmp}/netclnt-quickstart.XXXXXX")
sshd=
clean_up() {
  [ -z "$sshd" ] || kill "$sshd"
  if [ -n "${KEEP:-}" ]; then echo "kept: $work"; else rm -rf "$work"; fi
}
trap clean_up EXIT

run() { # COMMAND...: shows it, the temporary directory shortened, and runs it
  local word line='$'
  for word in "$@"; do
    word=${word//"$work"/WORK}
    [[ $word =~ ^[A-Za-z0-9_./:=@%+,-]+$ ]] || word="'$word'"
    line+=" $word"
  done
  printf '%s\n' "$line" >&2
  "$@"
}
with_changes() { "$@" || [ $? = 4 ]; } # exit code 4 says: there are changes

start_sshd() { # sets $port: a private server whose one account may only read, by SFTP
  mkdir -p "$work/ssh"
  ssh-keygen -q -t ed25519 -N '' -f "$work/ssh/host"
  port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  cat >"$work/ssh/sshd_config" <<CONFIG
ListenAddress 127.0.0.1
Port $port
HostKey $work/ssh/host
PidFile none
AuthorizedKeysFile $work/ssh/authorized_keys
AuthenticationMethods publickey
PermitRootLogin forced-commands-only
StrictModes no
DisableForwarding yes
PermitTTY no
Subsystem sftp internal-sftp -R
ForceCommand internal-sftp -R
CONFIG
  [ "$(id -u)" != 0 ] || mkdir -p /run/sshd
  /usr/sbin/sshd -D -f "$work/ssh/sshd_config" -E "$work/ssh/log" &
  sshd=$!
  printf '[127.0.0.1]:%s %s\n' "$port" "$(cut -d' ' -f1,2 "$work/ssh/host.pub")" >"$work/ssh/known_hosts"
}

make_image() { # the same file system each time: first new, then upgraded in place
  as_root "$top/examples/make-image.sh" "$@"
  as_root chown "$(id -u):$(id -g)" "$image"
}

make_squashfs() {
  rm -f "$work/images/debian.squashfs"
  as_root "$top/examples/make-image.sh" squashfs "$image" "$work/images/debian.squashfs"
  as_root chown "$(id -u):$(id -g)" "$work/images/debian.squashfs"
}

publish_all() {
  run netclnt publish "$image" --name debian.ext4 --note "$1"
  run netclnt publish "$work/images/debian.squashfs" --name debian.squashfs --note "$1"
}

sync_as() { # LABEL: syncs, and keeps the events for the table at the end
  run netclnt --json sync >"$work/$1.sync" || { tail -n 3 "$work/$1.sync" >&2; return 1; }
  netclnt --json list >"$work/$1.list"
}

say "1 What is needed"
need_packages ca-certificates debootstrap e2fsprogs libsqliteodbc openssh-client openssh-server squashfs-tools unixodbc odbcinst
need_python
need_environment "$work/venv" "$top" "$top"
PATH=$work/venv/bin:$PATH
mkdir -p "$work/images" "$work/site"
image=$work/images/debian.ext4

say "2 A golden image: a minimal system, and a squashfs of it"
make_image new "$image" 800 openssh-server python3 vim-tiny
make_squashfs
ls -ld "$work"/images/debian.{ext4,squashfs}

say "3 The master: a store, a catalog, a locked account that reads by SFTP"
export NETCLNT_CONFIG=$work/master.toml
run netclnt init master --store "$work/store" --state "$work/master" --catalog "sqlite:$work/catalog.sqlite"
publish_all "first"
start_sshd

say "4 A slave: reads the catalog through ODBC, fetches by SFTP"
export NETCLNT_CONFIG=$work/slave.toml
run netclnt init slave --name store0042 --root "$work/site" --state "$work/state" \
  --catalog "odbc:Driver={SQLite3};Database=$work/catalog.sqlite;BigInt=1" \
  --parent "sftp://$(id -un)@127.0.0.1:$port$work/store" --known-hosts "$work/ssh/known_hosts" >"$work/ssh/authorized_keys"
with_changes run netclnt diff
sync_as first

say "5 The admin upgrades the image in place, and publishes it again"
make_image upgrade "$image" curl
make_squashfs
NETCLNT_CONFIG=$work/master.toml publish_all "upgraded, with curl"

say "6 The slave fetches what changed; one more sync finds nothing to do"
with_changes run netclnt diff
run netclnt sync --dry-run
sync_as second
sync_as third
run netclnt list

say "7 What it cost"
python "$top/examples/cost-table.py" "$work" first second third
say "8 Are both sides equal?"
(cd "$work/images" && sha256sum debian.ext4 debian.squashfs) | tee "$work/SHA256SUMS"
(cd "$work/site" && sha256sum --check "$work/SHA256SUMS")
