#!/usr/bin/env bash
# Makes and changes a real image: an ext4 root file system of Debian (or Ubuntu), from the mirrors this machine's apt uses.
#
#   make-image.sh new IMAGE MIB [PACKAGE...]       a new root file system of MIB mebibytes: the release's minimal system and PACKAGEs
#   make-image.sh upgrade IMAGE [PACKAGE...]       in place, as an admin would: apt upgrade from the release's updates and
#                                                  security suites (new PACKAGEs are installed too)
#   make-image.sh squashfs IMAGE OUTPUT            the image's content as a zstd squashfs
#
# Needs root. The image is mounted through a loop device in a mount namespace of its own, so that nothing stays mounted
# whatever happens. Where mounting is not allowed (most containers), the same work is done in the directory IMAGE.tree,
# from which the image is written by mkfs.ext4 -d.
# DOWNLOADS=DIR keeps downloaded packages between runs.
set -euo pipefail

say() { printf 'make-image: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# shellcheck disable=SC2016 # the names in the format are apt's
suites() { # "URI SUITE" of each suite of the component main that apt knows on this machine
  apt-get indextargets --format '$(CREATED_BY) $(COMPONENT) $(REPO_URI) $(RELEASE)' |
    awk '$1 == "Packages" && $2 == "main" {print $3, $4}' | sort -u
}

own_suites() { # those of the release that this machine runs
  local codename
  codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
  suites | awk -v c="$codename" '$2 == c || index($2, c "-") == 1'
}

base_suite() { own_suites | awk '$2 !~ /-/' | head -n 1; }

inside() { chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
  DEBIAN_FRONTEND=noninteractive ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} "$@"; }

prepare() { # what the work inside needs and the image must not keep: no daemon starts, the resolver, packages' archives
  printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
  chmod 755 "$root/usr/sbin/policy-rc.d"
  cat /etc/resolv.conf >"$root/etc/resolv.conf" 2>/dev/null || true
  cat /etc/hosts >"$root/etc/hosts" 2>/dev/null || true
  if [ "$mounted" = yes ]; then
    mount -t proc proc "$root/proc"
    mount --bind "$downloads" "$root/var/cache/apt/archives"
  fi
}

tidy() {
  inside apt-get -q clean -o Dir::Cache::archives=/nonexistent/ 2>/dev/null || true
  rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin "$root"/tmp/* "$root"/usr/sbin/policy-rc.d
  : >"$root/etc/resolv.conf"
  : >"$root/etc/hosts"
  if [ "$mounted" = yes ]; then
    umount "$root/var/cache/apt/archives" "$root/proc"
    fstrim "$root" 2>/dev/null || true
    umount "$root"
  else
    rm -rf "$root"/var/cache/apt/archives/*.deb
    write_from_tree
  fi
}

write_from_tree() { # the same UUID and hash seed each time: it stays the same file system
  local uuid size
  uuid=$(cat "$image.uuid")
  size=$(stat -c %s "$image")
  rm -f "$image"
  truncate -s "$size" "$image"
  mkfs.ext4 -q -F -U "$uuid" -E "hash_seed=$uuid" -d "$root" "$image"
}

bootstrap() {
  local uri suite
  read -r uri suite <<<"$(base_suite)" || true
  [ -n "${suite:-}" ] || die "apt knows no suite of this machine's release (run: apt-get update)"
  say "a minimal $suite into $image"
  debootstrap --variant=minbase --cache-dir="$downloads" "$suite" "$root" "$uri" >"$log" 2>&1 ||
    { tail -n 20 "$log" >&2; die "debootstrap failed"; }
  printf 'deb %s %s main\n' "$uri" "$suite" >"$root/etc/apt/sources.list"
}

apt_inside() {
  inside apt-get -q -y -o Dpkg::Options::=--force-confold -o Dpkg::Options::=--force-unsafe-io -o APT::Sandbox::User=root \
    --no-install-recommends "$@" >>"$log" 2>&1 || { tail -n 20 "$log" >&2; die "apt-get $1 failed inside the image"; }
}

squash() { # OUTPUT
  mksquashfs "$root" "$1" -comp zstd -Xcompression-level 3 -noappend -quiet -no-progress -e lost+found >"$log"
}

work() {
  if [ "$command" = squashfs ]; then squash "$@"; return; fi
  if [ "$command" = new ]; then bootstrap; fi
  prepare
  if [ "$command" = upgrade ]; then own_suites | sed 's/^/deb /; s/$/ main/' >"$root/etc/apt/sources.list"; fi
  apt_inside update
  if [ "$command" = upgrade ]; then say "apt upgrade in $image"; apt_inside upgrade --with-new-pkgs; fi
  if [ $# -gt 0 ]; then say "apt install $* in $image"; apt_inside install "$@"; fi
  tidy
  sync "$image"
  say "$image: $(stat -c %s "$image") bytes, $(du -B1 "$image" | cut -f1) of them not holes"
}

with_mount() {
  local options=loop,nobarrier,noauto_da_alloc
  [ "$command" != squashfs ] || options=loop,ro
  mount -o "$options" "$image" "$root"
  work "$@"
}

[ $# -ge 2 ] || { sed -n '2,14s/^# \{0,1\}//p' "$0" >&2; exit 2; }
[ "$(id -u)" = 0 ] || die "needs root (run it by sudo)"
command=$1 image=$2
shift 2
downloads=${DOWNLOADS:-}

if [ "$command" = --inside ]; then # in the private namespace, called by the lines below
  command=$1 root=$2 log=$3 mounted=yes
  shift 3
  with_mount "$@"
  exit
fi

case $command in
  new) size=$1; shift; rm -rf "$image" "$image.tree"; truncate -s "${size}M" "$image"; mkfs.ext4 -q -F -m 0 "$image" ;;
  upgrade | squashfs) [ -f "$image" ] || die "$image is not there" ;;
  *) die "unknown command $command" ;;
esac
image=$(realpath "$image")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
log=$scratch/log
downloads=${downloads:-$scratch/downloads}
mkdir -p "$scratch/root" "$downloads"
downloads=$(realpath "$downloads")
if [ ! -d "$image.tree" ] && unshare --mount mount -o loop,ro "$image" "$scratch/root" 2>/dev/null; then
  DOWNLOADS=$downloads unshare --mount --pid --fork --kill-child -- bash "$0" --inside "$image" "$command" "$scratch/root" "$log" "$@"
else
  say "no mounts here: working in $image.tree"
  root=$image.tree mounted=no
  mkdir -p "$root"
  [ -f "$image.uuid" ] || cat /proc/sys/kernel/random/uuid >"$image.uuid"
  work "$@"
fi
