# shellcheck shell=bash
# Sourced by run_pool.sh and run_tests.sh: makes the project's virtual environment.

# set_up EXTRA: make .venv with poolrl and an extra ("" or "test"), unless it is there.
#
# Ten may call this at once: one works under a lock, the others wait. A marker is written last, so
# that a set-up that was cut off is done again, and one whose requirements changed too.
#   PYTHON       the interpreter to make it from (default: python3.11, else python3)
#   TORCH_INDEX  an index to take torch from, where the tests are set up, for example the CPU builds
#                of pytorch.org
set_up() {
    local extra=$1 wanted
    is_set_up "$extra" && return
    wanted=$(wanted)
    # -I and -P: no file of the working directory is imported; -P is new in Python 3.11.
    local python=${PYTHON:-$(command -v python3.11 || command -v python3)}
    "$python" -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
        echo "poolrl needs Python 3.11 or newer; set PYTHON to one (found: $python)" >&2
        return 2
    }
    # Python's fcntl holds the lock, since macOS has no flock command.
    "$python" -P - "$PROJECT/.venv.lock" bash "$PROJECT/scripts/setup.sh" "$python" "$extra" \
        "$wanted" <<'PYTHON_END'
import fcntl, subprocess, sys

lock, *command = sys.argv[1:]
with open(lock, "w") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    sys.exit(subprocess.run(command).returncode)
PYTHON_END
}

# is_set_up EXTRA: whether there is nothing to do.
is_set_up() {
    [ "$(cat "$PROJECT/.venv/.complete${1:+-$1}" 2>/dev/null)" = "$(wanted)" ]
}

# wanted: what stands in the marker of an environment that suits the project as it is now.
wanted() {
    (cd "$PROJECT" && cat setup.cfg pyproject.toml constraints.txt | cksum)
}

# install PYTHON EXTRA WANTED: what happens under the lock.
install() {
    local python=$1 extra=$2 wanted=$3 venv=$PROJECT/.venv marker
    marker=$venv/.complete${extra:+-$extra}
    [ "$(cat "$marker" 2>/dev/null)" = "$wanted" ] && return # another one was first
    echo "setting up $venv; this takes a minute or two" >&2
    if ! compgen -G "$venv/.complete*" >/dev/null; then
        rm -rf "$venv" # whatever a set-up that was cut off has left
        "$python" -P -m venv "$venv"
    fi
    cd "$PROJECT"
    local pip=("$venv/bin/python" -P -m pip install --quiet --disable-pip-version-check
        --constraint constraints.txt)
    # The tests alone need torch. First and alone, since its index holds little else.
    [ -z "$extra" ] || "${pip[@]}" ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} "$(grep '^torch==' constraints.txt)"
    "${pip[@]}" --editable ".${extra:+[$extra]}"
    printf '%s\n' "$wanted" >"$marker.new"
    mv "$marker.new" "$marker"
}

PROJECT=${PROJECT:-$(CDPATH="" cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)}
if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    set -euo pipefail
    install "$@"
fi
