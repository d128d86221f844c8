#!/usr/bin/env bash
# Set poolrl up, the first time, and run a pool:
#   scripts/run_pool.sh [arguments of `poolrl run`]
#   scripts/run_pool.sh --setup-only
# or, on a cluster with SLURM, once that has set it up, from this project's folder:
#   sbatch --array=0-9 scripts/run_pool.sh --pool-directory /shared/swimmer [...]
# where each task is one worker, the first one makes the pool, and whoever comes when it has ended
# leaves at once. Options of sbatch before the script's name outdo the lines below.
#   POOLRL_PYTHON  a Python that has poolrl, to be used as it is instead of .venv
#   POOLRL_HOME    this project's folder, for jobs that are submitted from elsewhere
#
# What a pool is called in squeue:
#SBATCH --job-name=poolrl
# More cores of a task are more threads of its worker (sbatch --cpus-per-task=4 …):
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=1
# A task whose node fails, or that is preempted, goes back into the queue, and goes on where the
# pool is:
#SBATCH --requeue
# What it says then follows what it said before (in slurm-JOB_TASK.out, unless --output says else):
#SBATCH --open-mode=append
# A minute before the time limit a worker gives back what it cannot finish, and ends with code 75:
#SBATCH --signal=B:USR1@60
set -euo pipefail

# slurmd runs a copy of this file from a folder of its own, so its path may not lead to the project.
PROJECT=
for folder in "${POOLRL_HOME:-}" "$(dirname "${BASH_SOURCE[0]}")/.." "${SLURM_SUBMIT_DIR:-}"; do
    if [ -n "$folder" ] && [ -f "$folder/scripts/setup.sh" ] && [ -d "$folder/poolrl" ]; then
        PROJECT=$(CDPATH="" cd "$folder" && pwd) # CDPATH leads elsewhere, and prints
        break
    elif [ -n "$folder" ] && [ "$folder" = "${POOLRL_HOME:-}" ]; then
        echo "run_pool.sh: POOLRL_HOME: $folder is not poolrl's folder" >&2
        exit 2
    fi
done
if [ -z "$PROJECT" ]; then
    echo "run_pool.sh: ${SLURM_SUBMIT_DIR:-$PWD} is not poolrl's folder: submit from there, or set" \
        "POOLRL_HOME to it" >&2
    exit 2
fi

python=${POOLRL_PYTHON:-$PROJECT/.venv/bin/python}
if [ -z "${POOLRL_PYTHON:-}" ]; then
    . "$PROJECT/scripts/setup.sh"
    if [ -n "${SLURM_JOB_ID:-}" ] && [ "${1:-}" != --setup-only ] && ! is_set_up ""; then
        # Nodes may have no network, and a thousand tasks need not all find that out.
        echo "run_pool.sh: poolrl is not set up in $PROJECT, or its requirements have changed: run" \
            "scripts/run_pool.sh --setup-only there, where you submit from" >&2
        exit 2
    fi
    set_up ""
fi
[ "${1:-}" = --setup-only ] && exit

# -P: no file of the working directory is imported. exec: signals reach the worker itself.
if [ -n "${SLURM_ARRAY_TASK_ID:-}" ]; then
    exec "$python" -P -m poolrl run --one-worker "$@"
fi
exec "$python" -P -m poolrl run "$@"
