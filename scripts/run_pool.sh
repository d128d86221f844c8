#!/usr/bin/env bash
# Set poolrl up, the first time, and run a pool:
#   scripts/run_pool.sh [arguments of `poolrl run`]
#   scripts/run_pool.sh --setup-only
# TORCH_INDEX chooses the index that torch comes from; see the README.
set -euo pipefail
PROJECT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$PROJECT/scripts/setup.sh"
set_up ""
[ "${1:-}" = --setup-only ] && exit
exec "$PROJECT/.venv/bin/poolrl" run "$@"
