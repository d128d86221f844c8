"""How the cores of a machine are shared out: workers, and threads of each worker.

It changes how long an iteration takes, never its result; the number of branches is the pool's.
"""

from __future__ import annotations

from typing import NamedTuple

from poolrl.config.learners import PPO, Reinforce
from poolrl.config.mpo import MPO
from poolrl.config.run_options import RunOptions
from poolrl.config.schema import Spec
from poolrl.formatting import count
from poolrl.job_environment import JobEnvironment
from poolrl.tasks.registry import REGISTRY
from poolrl.trusted_code import names_code


class CoreLayout(NamedTuple):
    """Workers of a machine, and the threads that step the simulations of each."""

    workers: int
    threads: int

    def __str__(self) -> str:
        threads = f" of {count(self.threads, 'thread')}" if self.threads > 1 else ""
        return f"{count(self.workers, 'worker')}{threads}"


def core_layout(
    spec: Spec,
    cores: int,
    workers: int | None = None,
    threads: int | None = None,
    *,
    later: bool = False,
) -> CoreLayout:
    """Share out cores: first to branches, and what is left to the simulations of each.

    Args:
        spec: of the pool.
        cores: that may be used.
        workers: asked for; by default one per branch, at most one per core.
        threads: asked for; by default the cores divided by the workers.
        later: the workers that have a branch after the first iteration, which may be fewer.
    """
    workers = min(workers or cores, spec.pool.fewest if later else spec.pool.count)
    return CoreLayout(workers, threads or max(1, min(cores // workers, simulations(spec))))


def task_threads(spec: Spec, run: RunOptions, environment: JobEnvironment) -> int:
    """Threads of a worker that was started alone: those asked for, else the cores that a launcher
    gave its task, else one."""
    return core_layout(spec, environment.cores or 1, 1, run.threads).threads


def simulations(spec: Spec) -> int:
    """The largest number of simulations that a branch steps at the same time, in training or in
    evaluation; 1 for environments of others, which run one after another."""
    pool, learner = spec.pool, spec.learner
    if spec.task.id not in REGISTRY and not names_code(spec.task.id):
        return 1
    training = spec.task.max_simulations
    # Where branches share experience, all episodes of one are one rollout.
    in_one = bool(getattr(learner, "segment_steps", 0)) or (
        spec.merge.shares_experience and not pool.iterate_steps
    )
    if isinstance(learner, PPO | Reinforce) and not in_one:
        training = learner.episodes_per_update
    if isinstance(learner, MPO):
        training = learner.simulations
    if not pool.iterate_steps:
        training = min(training, pool.iterate_episodes)
    return min(spec.task.max_simulations, max(training, pool.evaluate_episodes))


def advice(spec: Spec, cores: int) -> str | None:
    """A line on what one process would do where branches outnumber cores; ``None`` elsewhere."""
    branches = spec.pool.count
    if branches <= cores or spec.merge.shares_experience:  # which is one line of training
        return None
    each = f"{cores} cores" if cores > 1 else "one core"
    return (
        f"{branches} branches take turns on {each}; on few cores one line of training, with "
        f"--pool-count 1, is often as fast: docs/cores.md"
    )
