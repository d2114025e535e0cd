# shellcheck shell=bash
# For the other scripts, which source it: Debian packages and a Python environment, each installed only where it is missing.

say() { printf '\n== %s\n' "$*"; }

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    printf 'needs root, and there is no sudo: %s\n' "$*" >&2
    return 1
  fi
}

need_packages() { # PACKAGE...: installs those that are missing; asks apt for nothing when all are there
  local package missing=()
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  say "apt-get install ${missing[*]}"
  as_root apt-get -qq update || echo "apt-get update failed; going on with the lists that are there" >&2
  # A run level of 1 keeps System V scripts from starting the servers that are only wanted as programs here.
  as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
    apt-get -qq -y --no-install-recommends -o Dpkg::Use-Pty=0 install "${missing[@]}" >/dev/null
}

find_python() { # prints a Python of at least 3.11 that can make environments
  local candidate
  for candidate in "${PYTHON:-python3}" python3.11 python3.12 python3.13 python3.14 /usr/bin/python3; do
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      printf '%s\n' "$candidate"
      return 0
    fi
  done
  return 1
}

need_python() { # sets $python
  python=$(find_python) && return 0
  need_packages python3 python3-venv
  python=$(find_python) && return 0
  echo "no Python of at least 3.11 (with the module venv) is here; install one, and name it in PYTHON if it is not in PATH" >&2
  return 1
}

need_environment() { # DIRECTORY PROJECT WHAT...: a virtual environment in which pip installed WHAT; kept while PROJECT asks for the same
  local directory=$1 project=$2 stamp
  shift 2
  stamp=$("$python" -VV; printf '%s\n' "$@"; cat "$project/pyproject.toml")
  [ "$(cat "$directory/installed" 2>/dev/null)" != "$stamp" ] || return 0
  say "Python environment in $directory: $*"
  rm -rf "$directory"
  "$python" -m venv "$directory"
  "$directory/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
  printf '%s\n' "$stamp" >"$directory/installed"
}
