"""How fast every MuJoCo task is, from the physics alone to the policy in the loop.

    python benchmarks/rollout.py [TASK ...] [--rounds 5] [--no-clocks]
        [--output results/benchmarks/rollout.md]

The same controls from the same states, 16 simulations on one core, in control steps a second:

- `mj_step`: a Python loop over 16 `MjData`;
- `batch`: `mujoco.batch` alone;
- `task`: poolrl's task, so with observations, rewards, ends of episodes and resets;
- `policy`: the task with the policy in the loop, which samples its actions;
- `rollout`: that as in training, with log densities, values, and all that an update needs kept;
- `Gymnasium`: its own environment stepped one by one with the same policy, as in `policy`;
- `SyncVectorEnv`: 16 of them in Gymnasium's vector environment with the same policy;
- `EnvPool`: 16 environments on one thread with the same policy, where EnvPool is installed and has
  the task.

The policy is a new one of the default network (64-64, beta), so that episodes end as early as they
do at the beginning of training. What is not poolrl's runs as it comes: the first two simulate the
model as it was read, and MuJoCo's Python package has them and Gymnasium read a clock, unless
``--no-clocks`` says otherwise (EnvPool has no part in that package). A task leaves out what can
have no effect (``without_idle_stages``, ``stop_clock``), and may be ahead of them. All are timed in
turn, round by round, so that a machine whose speed drifts slows all alike; a ratio is the median
over rounds. What is timed is the processor's time, of all threads together, so that other processes
on a shared machine disturb less.
"""

from __future__ import annotations

import report  # isort: skip  (before NumPy is loaded)

import statistics
import time
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import click
import gymnasium
import mujoco
import numpy as np
from mujoco.batch import Batch

from poolrl import tasks
from poolrl.agent import Agent
from poolrl.algorithms.training import initial_agent
from poolrl.config.loading import load
from poolrl.rollouts.rollout import collect
from poolrl.rollouts.sampler import Budget, Sampler
from poolrl.seeding import Purpose, Streams
from poolrl.tasks.mujoco import MujocoTask
from poolrl.tasks.registry import REGISTRY

SIMULATIONS = 16
STEPS = 250
"""Control steps of each simulation in a round."""


class Reset(NamedTuple):
    """The states that simulations were reset to after ``step`` control steps."""

    step: int
    ids: np.ndarray
    qpos: np.ndarray
    qvel: np.ndarray


class Recording(NamedTuple):
    """What a rollout did, to be done again without the rest."""

    controls: np.ndarray
    resets: list[Reset]


def start(task: MujocoTask, turn: int) -> tuple[Sampler, np.random.Generator]:
    """A sampler with a budget beyond STEPS, and the generator of action noise."""
    streams = Streams(turn)
    budget = Budget(steps=10 * STEPS * SIMULATIONS)
    sampler = Sampler(task, streams.generators_from(Purpose.RESET), budget)
    return sampler, streams.generator(Purpose.ACTION)


def act(task: MujocoTask, agent: Agent, turn: int) -> None:
    """STEPS steps of all simulations with sampled actions."""
    sampler, generator = start(task, turn)
    for _ in sampler.steps(agent.policy, generator, STEPS):
        pass


def rollout(task: MujocoTask, agent: Agent, turn: int) -> None:
    """The same, as in training."""
    sampler, generator = start(task, turn)
    collect(sampler, agent.policy, generator, STEPS)


def record(task: MujocoTask, agent: Agent, turn: int) -> Recording:
    """The controls and resets of a rollout."""
    controls: list[np.ndarray] = []
    resets: list[Reset] = []
    set_state, step = task.set_state, task.step

    def noting_set_state(ids: np.ndarray, qpos: np.ndarray, qvel: np.ndarray) -> None:
        resets.append(Reset(len(controls), ids.copy(), qpos.copy(), qvel.copy()))
        set_state(ids, qpos, qvel)

    def noting_step(action: np.ndarray, ids: Any = None) -> tasks.StepResult:
        controls.append(np.array(action, np.float64))
        return step(action, ids)

    task.set_state, task.step = noting_set_state, noting_step  # type: ignore[method-assign]
    try:
        rollout(task, agent, turn)
    finally:
        del task.set_state, task.step
    return Recording(np.array(controls), resets)


def step_data(task: MujocoTask, recording: Recording) -> Callable[[], None]:
    """A loop of ``mj_step``."""
    model, frame_skip = task.model, task.frame_skip
    datas = [mujoco.MjData(model) for _ in range(SIMULATIONS)]

    def run() -> None:
        pending = iter(recording.resets)
        following = next(pending, None)
        for k, control in enumerate(recording.controls):
            while following is not None and following.step == k:
                for row, i in enumerate(following.ids):
                    datas[i].qpos[:] = following.qpos[row]
                    datas[i].qvel[:] = following.qvel[row]
                following = next(pending, None)
            for data, values in zip(datas, control, strict=True):
                data.ctrl[:] = values
                mujoco.mj_step(model, data, frame_skip)

    return run


def step_batch(task: MujocoTask, recording: Recording) -> Callable[[], None]:
    """``mujoco.batch`` alone."""
    batch = Batch(task.model, SIMULATIONS, 1)
    qpos, qvel, ctrl = (batch.bind(name) for name in ("qpos", "qvel", "ctrl"))

    def run() -> None:
        pending = iter(recording.resets)
        following = next(pending, None)
        for k, control in enumerate(recording.controls):
            while following is not None and following.step == k:
                qpos[following.ids] = following.qpos
                qvel[following.ids] = following.qvel
                following = next(pending, None)
            ctrl[:] = control
            batch.step(None, task.frame_skip)

    return run


def step_task(task: MujocoTask, recording: Recording, turn: int) -> Callable[[], None]:
    """The task without a policy, with the generators that its resets need."""
    streams = Streams(turn)

    def run() -> None:
        generators = streams.generators_from(Purpose.RESET)
        pending = iter(recording.resets)
        following = next(pending, None)
        for k, control in enumerate(recording.controls):
            while following is not None and following.step == k:
                task.reset(following.ids, list(islice(generators, len(following.ids))))
                task.observe()
                following = next(pending, None)
            task.step(control)

    return run


def step_gymnasium(task_id: str, agent: Agent, turn: int) -> Callable[[], None]:
    """Gymnasium's environment, one by one."""
    env = gymnasium.make(task_id)
    generator = np.random.default_rng(turn)

    def run() -> None:
        observation, _ = env.reset(seed=turn)
        for _ in range(STEPS * SIMULATIONS):
            action = agent.policy.act(observation[None], generator=generator).action[0]
            observation, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                observation, _ = env.reset()

    return run


def step_vector(envs: Any, reset: Callable[[], Any], agent: Agent, turn: int) -> Callable[[], None]:
    """A vector environment with Gymnasium's interface."""
    generator = np.random.default_rng(turn)

    def run() -> None:
        observation, _ = reset()
        for _ in range(STEPS):
            action = agent.policy.act(observation, generator=generator).action
            observation = envs.step(action)[0]

    return run


def envpool_vector(task_id: str) -> Any:
    """EnvPool's environments on one thread, or ``None``."""
    try:
        import envpool
    except ImportError:
        return None
    if task_id not in envpool.list_all_envs():
        return None
    return envpool.make(
        task_id, env_type="gymnasium", num_envs=SIMULATIONS, batch_size=SIMULATIONS, num_threads=1
    )


Times = dict[str, list[float]]


def measure(task_id: str, rounds: int, *, clocks: bool) -> Times:
    """Seconds of each round, by what was timed; ``clocks``: MuJoCo has one where poolrl is not."""
    task = tasks.make(task_id, SIMULATIONS)
    assert isinstance(task, MujocoTask)
    spec, _ = load(None, {"task.id": task_id})
    agent = initial_agent(spec, task, Streams(0))
    sync = gymnasium.vector.SyncVectorEnv([lambda: gymnasium.make(task_id)] * SIMULATIONS)
    pool = envpool_vector(task_id)
    times: Times = {}
    for turn in range(rounds + 1):
        recording = record(task, agent, turn)
        runs: dict[str, Callable[[], None]] = {
            "mj_step": step_data(task, recording),
            "batch": step_batch(task, recording),
            "task": step_task(task, recording, turn),
            "policy": partial(act, task, agent, turn),
            "rollout": partial(rollout, task, agent, turn),
            "Gymnasium": step_gymnasium(task_id, agent, turn),
            "SyncVectorEnv": step_vector(sync, partial(sync.reset, seed=turn), agent, turn),
        }
        if pool is not None:
            runs["EnvPool"] = step_vector(pool, pool.reset, agent, turn)
        for name, run in runs.items():
            report.clock(running=clocks and name not in OWN)
            start = time.process_time()
            run()
            if turn:  # the first round warms caches
                times.setdefault(name, []).append(time.process_time() - start)
    return times


def ratio(times: Times, other: str, name: str) -> float:
    """Median over rounds of how many times as fast as another one something was."""
    return statistics.median(a / b for a, b in zip(times[other], times[name], strict=True))


OWN = ("task", "policy", "rollout")
NAMES = ("mj_step", "batch", *OWN, "Gymnasium", "SyncVectorEnv", "EnvPool")


@click.command()
@click.argument("task_ids", nargs=-1)
@click.option("--rounds", default=5, show_default=True)
@click.option("--no-clocks", is_flag=True, help="Stop MuJoCo's clock for all, not in poolrl alone.")
@click.option("--output", type=click.Path(path_type=Path))
def main(task_ids: tuple[str, ...], rounds: int, no_clocks: bool, output: Path | None) -> None:
    """Print a table, and write it to a file."""
    report.one_core()
    ids = task_ids or tuple(i for i in REGISTRY if i.endswith("-v5"))
    rows, all_times = [], {}
    for task_id in ids:
        click.echo(f"{task_id} …", err=True)
        times = all_times[task_id] = measure(task_id, rounds, clocks=not no_clocks)
        rates = [
            f"{STEPS * SIMULATIONS / statistics.median(times[name]):,.0f}" if name in times else "–"
            for name in NAMES
        ]
        shares = [f"{ratio(times, 'batch', name):.3f}" for name in ("policy", "rollout")]
        rows.append([task_id, *rates, *shares])
    lines = [report.table(["task", *NAMES, "policy / batch", "rollout / batch"], rows), ""]
    compared = [("rollout", "batch")]
    compared += [("policy", other) for other in ("batch", "Gymnasium", "SyncVectorEnv", "EnvPool")]
    for name, other in compared:
        ratios = {i: ratio(times, other, name) for i, times in all_times.items() if other in times}
        if ratios:
            lowest = min(ratios, key=ratios.__getitem__)
            lines.append(
                f"- {name} / {other}: geometric mean {report.geometric_mean(ratios.values()):.3f} "
                f"over {len(ratios)} tasks, lowest {ratios[lowest]:.3f} ({lowest})"
            )
    options = [f"--rounds {rounds}", *["--no-clocks"] * no_clocks]
    command = " ".join(["python benchmarks/rollout.py", *task_ids, *options])
    title = f"Every MuJoCo task, {SIMULATIONS} simulations on one core, control steps a second"
    report.keep(output, title, command, "\n".join(lines))


if __name__ == "__main__":
    main()
