#!/usr/bin/env bash
# Set poolrl up with what its tests need, the first time, and check everything:
#   scripts/run_tests.sh [--full] [arguments of pytest]
# --full adds the tests that take long. With a path or -k, only pytest runs.
set -euo pipefail
PROJECT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$PROJECT/scripts/setup.sh"
set_up test
cd "$PROJECT"
PATH=$PROJECT/.venv/bin:$PATH
run() { echo "== $*" && "$@"; }
if [ $# = 0 ] || [ "$*" = --full ]; then
    run ruff format --check .
    run ruff check .
    run mypy
    run lint-imports --no-logo
fi
run pytest -n "${POOLRL_TEST_PROCESSES:-2}" "$@"
