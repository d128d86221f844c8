#!/usr/bin/env bash
# Set poolrl up with what its tests need, the first time, and check everything:
#   scripts/run_tests.sh [--full] [arguments of pytest]
# --full adds the tests that take long. With a path or -k, only pytest runs.
# The tests of arrays want a SLURM of their own, as root; Debian's packages are installed for them
# where that needs no password. Elsewhere they skip, and say why.
set -euo pipefail
PROJECT=$(CDPATH="" cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$PROJECT/scripts/setup.sh"
set_up test
cd "$PROJECT"
PATH=$PROJECT/.venv/bin:$PATH
run() { echo "== $*" && "$@"; }

as_root=()
[ "$(id -u)" = 0 ] || as_root=(sudo -n)
may_be_root() { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }

# Debian's SLURM, unless there is one.
get_slurm() {
    local packages=(slurmctld slurmd slurm-client munge)
    PATH=$PATH:/usr/sbin:/sbin type slurmctld slurmd sbatch munged &>/dev/null && return
    if ! command -v apt-get >/dev/null || ! may_be_root; then
        echo "== no SLURM, and no way to install it: tests/slurm skips"
        return
    fi
    echo "== apt-get install ${packages[*]}, for tests/slurm"
    local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get
        -o DPkg::Lock::Timeout=120 -qq)
    "${apt[@]}" install -y --no-install-recommends "${packages[@]}" >/dev/null ||
        { "${apt[@]}" update &&
            "${apt[@]}" install -y --no-install-recommends "${packages[@]}" >/dev/null; } ||
        echo "== that failed: tests/slurm skips"
}

if [ $# = 0 ] || [ "$*" = --full ]; then
    get_slurm
    run ruff format --check .
    run ruff check .
    run mypy
    run lint-imports --no-logo
fi
run pytest -n "${POOLRL_TEST_PROCESSES:-3}" "$@"
if [ $# = 0 ] || [ "$*" = --full ]; then
    if [ "$(id -u)" != 0 ] && may_be_root; then
        # SLURM's daemons change users, so root alone can start them.
        run sudo -n env PATH="$PATH" PYTHONDONTWRITEBYTECODE=1 \
            pytest -p no:cacheprovider tests/slurm "$@"
    fi
fi
