"""What the files of an iteration take on disk, for merge rules that need more than `best`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from poolrl.agent import OPTIMIZER_PREFIX, Agent
from poolrl.config.learners import PPO, Reinforce
from poolrl.config.mpo import MPO
from poolrl.config.run_options import RetentionRule, RunOptions
from poolrl.config.schema import Spec
from poolrl.formatting import file_size
from poolrl.networks.parameters import TARGET_PREFIX, is_parameter
from poolrl.pool.replay_window import window_size
from poolrl.rollouts.replay import row_bytes


class DiskUse(NamedTuple):
    """Bytes on disk, without records, which take some kilobytes.

    Attributes:
        agent: of one agent.
        iteration: of all agents and rollouts of an iteration, until those that lost are removed.
        window: what the window of a shared replay takes, as a line; ``None`` without one.
    """

    agent: int
    iteration: int
    window: str | None = None


def disk_use(spec: Spec, agent: Agent) -> DiskUse:
    """Estimate the files of an iteration; episodes count with their time limit.

    Args:
        spec: of the pool.
        agent: any one of it.
    """
    arrays = dict(agent.arrays)
    if isinstance(spec.learner, PPO | Reinforce | MPO):  # Adam's moments come with the first update
        for name, array in agent.arrays.items():
            if is_parameter(name) and not name.startswith(TARGET_PREFIX):
                prefix = f"{OPTIMIZER_PREFIX}{name}/"
                arrays |= {f"{prefix}exp_avg": array, f"{prefix}exp_avg_sq": array}
                arrays[f"{prefix}step"] = np.zeros((), np.float32)
    size = len(Agent(arrays, agent.metadata).to_bytes())
    pool, rule = spec.pool, spec.merge
    if rule.shares_experience:
        episode, learner = agent.metadata.max_episode_steps, spec.learner
        steps = pool.iterate_steps or pool.iterate_episodes * episode
        if pool.iterate_steps and not getattr(learner, "segment_steps", 0):
            # Those that run at the same time run to their end.
            parallel = min(getattr(learner, "episodes_per_update", 1), spec.task.max_simulations)
            steps = max(steps, parallel * episode)
        return DiskUse(size, size + pool.count * steps * step_bytes(spec, agent))
    made = pool.count + len(rule.candidates) + (1 if rule.rule == "mean" else 0)
    return DiskUse(size, made * size, window_line(spec, agent))


def step_bytes(spec: Spec, agent: Agent) -> int:
    """Bytes of a step in a rollout file.

    Args:
        spec: of the pool.
        agent: that samples.
    """
    policy = agent.policy
    (size,) = agent.metadata.observation_space.shape
    observation = np.zeros((1, size), policy.observation_type)
    output = policy.act(observation, generator=np.random.default_rng(0))
    normalized = getattr(spec.learner, "normalize_values", False)
    values = 3 * np.dtype(np.float64 if normalized else np.float32).itemsize
    others = [output.sample, output.noise, *output.before]
    own = sum(array.nbytes for array in others if array is not None)
    return observation.nbytes + own + values + np.dtype(np.float32).itemsize + 1


def window_line(spec: Spec, agent: Agent) -> str | None:
    """A line on what the window of a shared replay takes on disk; ``None`` in other pools.

    Args:
        spec: of the pool.
        agent: any one of it.
    """
    size = window_size(spec)
    if not size:
        return None
    metadata = agent.metadata
    each = row_bytes(metadata.observation_space.shape[0], metadata.action_space.shape[0])
    return (
        f"about {file_size(size * each)} on disk for the shared replay by learner.replay_window = "
        f"{size:,}, {each} bytes a transition, and up to two iterations' more: docs/mpo.md"
    )


def disk_line(spec: Spec, run: RunOptions, use: DiskUse) -> str | None:
    """A line on the disk use of a pool whose rule, or replay, needs more than `best`; ``None``
    elsewhere.

    Args:
        spec: of the pool.
        run: its retention rule.
        use: of ``disk_use``.
    """
    rule = spec.merge
    if rule.rule == "best" and not rule.candidates:
        return use.window
    key = "merge.candidates" if rule.candidates else f"merge.rule = {rule.rule}"
    kept = RetentionRule.parse(run.keep).iterations
    stays = "all of which stay"
    if kept is not None:
        after = f" after {kept} more" if kept else ""
        stays = f"of which {file_size(use.agent)} stay{after}"
    line = (
        f"about {file_size(use.iteration)} on disk an iteration by {key}, {stays} "
        f"(--keep {run.keep}): docs/merging.md"
    )
    return line if use.window is None else f"{line}; {use.window}"
