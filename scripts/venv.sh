# Sourced by the other scripts: finds a Python, makes the virtual environment once, installs what is asked for.
# $PYTHON chooses the interpreter, $VENV the folder.

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
VENV=${VENV:-.venv}

find_python() {
  for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  echo "authsvc needs Python 3.11 or newer; none was found (set PYTHON to one)." >&2
  return 1
}

make_venv() {
  local python
  python=$(find_python) || exit 1
  echo "making $VENV with $("$python" --version)" >&2
  "$python" -m venv "$VENV" >/dev/null 2>&1 && return
  rm -rf "$VENV"
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then # Debian packs venv apart from Python
    echo "installing Debian's python3-venv" >&2
    apt-get update -qq >&2 && apt-get install -y -qq python3-venv >&2 && "$python" -m venv "$VENV" && return
  fi
  echo "cannot make a virtual environment; on Debian: sudo apt-get install python3-venv" >&2
  exit 1
}

# install EXTRAS: the project itself, editable, with these extras ("", "test", "test,check"); again only after a change.
install() {
  local extras=$1 stamp="$VENV/installed-${1//,/-}" wanted
  [ -x "$VENV/bin/python" ] || make_venv
  wanted=$(cksum setup.cfg pyproject.toml)
  if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --editable ".${extras:+[$extras]}" >&2 || exit 1
    echo "$wanted" >"$stamp"
  fi
}

# The same for what is built here and so may not be possible here; its tests are skipped then.
install_if_possible() {
  (install "$1") || echo "cannot install the extra $1; on Debian: sudo apt-get install gcc python3-dev" >&2
}
