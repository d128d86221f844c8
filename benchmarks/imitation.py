"""How well agents imitate clips that they were not trained on, beside agents that learned nothing.

    poolrl clips synthesize -o clips.h5
    poolrl clips synthesize -o held_out.h5 --clips 35 --seed 1
    poolrl run configs/rodent/tiny.toml --seed S --pool-directory POOL-S        (for each seed)
    python benchmarks/imitation.py POOL-0 POOL-1 … --held-out held_out.h5 [--every 4]
        [--against "ten branches" TEN-0 --against "ten branches" TEN-1 …]
        [--output results/benchmarks/imitation.md]

Every clip is played once, from its first frame to the first end. Of an arm and a clip,

- `life` is the share of the clip's control steps before the episode ends;
- `reward` is the mean reward of the steps that were lived, the first ones of which are the easiest
  of a clip that begins where the body is: its last column compares the steps that both lived;
- `of the clip` is the sum of the rewards over the steps of the clip: of 5.1 at most.

Arms: the pools' champions, by the mean action; their first agents, which are untrained; zero
actions; and a tracker by torques

    tau = diag(M) * (w^2 * (q_target - q) + 2 * w * (v_target - v))

of the frame a few ahead, where M is the mass matrix in the default pose and controls are the least
squares of what the actuators can do, within their bounds. Its w and number of frames are those of a
grid that do best on some clips of training. Differences to zero actions are paired by clip; a
trained arm's value of a clip is the mean over seeds. Intervals are bootstraps over seeds and clips.
With ``--against`` the last champions of other pools are compared with those that the first pools
had after as many training steps.
"""

from __future__ import annotations

import report  # isort: skip  (before NumPy is loaded)

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import click
import mujoco
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from poolrl import Pool, tasks
from poolrl.agent import Agent
from poolrl.clips.clip import ROOT_POSITIONS
from poolrl.config.schema import World
from poolrl.monitoring.history import read_history
from poolrl.records.records import MergeRecord
from poolrl.tasks.imitation.imitation import Imitation

F64 = NDArray[np.float64]
Act = Callable[[F64], NDArray[np.floating]]
"""Observations -> actions, for all clips side by side."""

FREQUENCIES = (60.0, 90.0, 110.0, 130.0, 160.0)
"""Of the tracker, in rad/s."""

FRAMES_AHEAD = (1, 2, 3)
TUNING_CLIPS = 14
"""Of training, that both are chosen by: two of each style of synthetic clips."""

RESAMPLES = 10_000


class Played(NamedTuple):
    """Of each clip, (clips,): its steps, and those before the end; rewards of all steps, (longest,
    clips), 0 after the end."""

    steps: F64
    lived: F64
    rewards: F64

    @property
    def life(self) -> F64:
        """Share of the clip that was lived."""
        return self.lived / self.steps

    @property
    def reward(self) -> F64:
        """Mean of the steps that were lived."""
        mean: F64 = self.rewards.sum(axis=0) / self.lived
        return mean

    @property
    def of_the_clip(self) -> F64:
        """Sum of rewards over the steps of the clip."""
        mean: F64 = self.rewards.sum(axis=0) / self.steps
        return mean

    def ahead_of(self, other: Played) -> F64:
        """Mean difference of the rewards over the steps that both lived."""
        both = np.minimum(self.lived, other.lived)
        rows = np.arange(min(len(self.rewards), len(other.rewards)))[:, None]
        gains = self.rewards[: len(rows)] - other.rewards[: len(rows)]
        mean: F64 = np.where(rows < both, gains, 0).sum(axis=0) / both
        return mean


def make(world: World, clips: Path, most: int | None = None) -> Imitation:
    """The task with the first clips of a file side by side, or with all."""
    kwargs = dict(world.kwargs, clips=str(clips.resolve()))
    world = replace(world, kwargs=kwargs, max_episode_steps=10**9)
    one = tasks.make(world, 1)
    assert isinstance(one, Imitation)
    task = tasks.make(world, min(len(one.references.lengths), most or 10**9))
    assert isinstance(task, Imitation)
    return task


def play(task: Imitation, act: Act) -> Played:
    """Play each clip to its first end."""
    ids = np.arange(task.num_simulations)
    task.begin(ids, ids, np.zeros_like(ids))
    lived, rewards = np.zeros(len(ids)), []
    observation, alive = task.observe(), np.ones(len(ids), np.bool_)
    while alive.any():
        (rows,) = np.nonzero(alive)
        result = task.step(act(observation), None if alive.all() else rows)
        lived[alive] += 1
        rewards.append(np.where(alive, result.reward, 0.0))
        alive &= ~(result.terminated | result.truncated)
        observation = result.observation
    return Played(task.steps_to_end()[ids].astype(np.float64), lived, np.array(rewards))


def policy(agent: Agent, n: int) -> Act:
    """The mean actions of an agent, with its memory."""
    network, state = agent.policy, agent.policy.network.initial_state(n)

    def act(observation: F64) -> NDArray[np.floating]:
        nonlocal state
        output = network.act(observation, state)
        state = output.state
        return output.action

    return act


def zero(task: Imitation) -> Act:
    """No control."""
    return lambda _: np.zeros((task.num_simulations, task.model.nu))


def tracker(task: Imitation, frequency: float, ahead: int) -> Act:
    """A torque towards the pose of the clip, so many frames ahead."""
    model, data = task.model, mujoco.MjData(task.model)
    mujoco.mj_forward(model, data)
    moments = np.zeros((model.nu, model.nv))
    mujoco.mju_sparse2dense(
        moments, data.actuator_moment, data.moment_rownnz, data.moment_rowadr, data.moment_colind
    )
    forces = moments[:, ROOT_POSITIONS - 1 :] * model.actuator_gainprm[:, :1]
    mass = np.zeros((model.nv, model.nv))
    mujoco.mj_fullM(model, data, mass)
    inertia = np.diag(mass)[ROOT_POSITIONS - 1 :]
    # Of the shares of acceleration, so that heavy joints do not decide alone.
    controls = np.linalg.pinv((forces / inertia).T, rcond=1e-3)

    def act(_: F64) -> NDArray[np.floating]:
        rows = task.references.starts[task.clip] + np.minimum(
            task.frame + ahead, task.references.lengths[task.clip] - 1
        )
        pose, velocity = task.references.qpos[rows], task.references.qvel[rows]
        error = pose[:, ROOT_POSITIONS:] - task.qpos[:, ROOT_POSITIONS:]
        rate = velocity[:, ROOT_POSITIONS - 1 :] - task.qvel[:, ROOT_POSITIONS - 1 :]
        wanted = frequency**2 * error + 2 * frequency * rate
        return np.clip(wanted @ controls.T, -1, 1)

    return act


def best_tracker(world: World, clips: Path) -> tuple[float, int]:
    """Frequency and frames ahead that do best on clips, by the rewards over whole clips."""
    task = make(world, clips, TUNING_CLIPS)
    return max(
        itertools.product(FREQUENCIES, FRAMES_AHEAD),
        key=lambda each: float(play(task, tracker(task, *each)).of_the_clip.mean()),
    )


def interval(values: F64) -> tuple[float, float]:
    """95 % bootstrap interval of the mean of (seeds, clips), over both."""
    generator = np.random.default_rng(0)
    seeds, clips = values.shape
    s = generator.integers(seeds, size=(RESAMPLES, seeds, 1))
    c = generator.integers(clips, size=(RESAMPLES, 1, clips))
    low, high = np.percentile(values[s, c].mean(axis=(1, 2)), [2.5, 97.5])
    return float(low), float(high)


def cell(values: F64) -> str:
    """Mean and interval."""
    low, high = interval(values)
    return f"{values.mean():.2f} [{low:.2f}, {high:.2f}]"


def row(name: str, arm: Sequence[Played], base: Sequence[Played]) -> list[str]:
    """A line of a table; differences are to an arm of as many seeds, or of one."""
    cells = []
    for figure in ("life", "reward", "of_the_clip"):
        values, others = (np.array([getattr(e, figure) for e in each]) for each in (arm, base))
        cells += [cell(values), "" if arm[0] is base[0] else cell(values - others)]
    pairs = zip(arm, itertools.cycle(base))
    together = np.array([own.ahead_of(other) for own, other in pairs])
    return [name, str(len(arm)), *cells, "" if arm[0] is base[0] else cell(together)]


def play_champion(path: Path, merge: MergeRecord, task: Imitation) -> tuple[float, Played]:
    """Training steps and what is played of the champion of a merge."""
    agent = Pool(path).champion(merge.iteration)
    played = play(task, policy(agent, task.num_simulations))
    click.echo(
        f"{path.name}, {merge.training_steps:,} steps: life {played.life.mean():.2f}, "
        f"of the clip {played.of_the_clip.mean():.2f}"
    )
    return float(merge.training_steps), played


def champions(path: Path, task: Imitation, every: int) -> list[tuple[float, Played]]:
    """Training steps and what is played of every so many champions of a pool, and of its last."""
    merges = read_history(path).merges
    taken = [merge for merge in merges[:-1] if merge.iteration % every == 0] + [merges[-1]]
    return [play_champion(path, merge, task) for merge in taken]


def compare(
    paths: Sequence[Path], against: Sequence[tuple[str, Path]], task: Imitation, head: list[str]
) -> str:
    """A table of other pools' last champions beside those of the first ones at their steps."""
    groups: dict[str, list[tuple[float, Played]]] = {}
    for name, path in against:
        last = read_history(path).merges[-1]
        groups.setdefault(name, []).append(play_champion(path, last, task))
    most = min(steps for group in groups.values() for steps, _ in group)
    first = []
    for path in paths:
        # Of a branch the last episodes may go a few steps beyond its budget.
        merges = [m for m in read_history(path).merges if m.training_steps <= most * 1.01]
        first.append(play_champion(path, merges[-1], task))
    rows = []
    for name, group in {"one process": first, **groups}.items():
        steps = sum(steps for steps, _ in group) / len(group)
        rows.append(
            row(f"{name}, {steps:,.0f} steps", [p for _, p in group], [p for _, p in first])
        )
    return report.table([cell.replace("zero", "one process") for cell in head], rows)


def draw(
    output: Path, curves: Sequence[Sequence[tuple[float, Played]]], lines: dict[str, Played]
) -> None:
    """Life and reward of the champions against their steps, with the others as lines."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    titles = ("share of a held-out clip that is lived", "reward over a held-out clip, a step")
    for axis, title, value in zip(axes, titles, ("life", "of_the_clip"), strict=True):
        for number, curve in enumerate(curves):
            x = [steps / 1e6 for steps, _ in curve]
            y = [float(getattr(each, value).mean()) for _, each in curve]
            axis.plot(x, y, "C0o-", markersize=3, label=None if number else "trained, by seed")
        for color, (name, each) in enumerate(lines.items(), 1):
            mean = float(getattr(each, value).mean())
            axis.axhline(
                mean, color=f"C{color}", linestyle=("--", ":", "-.")[color % 3], label=name
            )
        axis.set_title(title, fontsize="medium")
        axis.set_xlabel("training steps, millions")
        axis.set_ylim(0)
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize="small")
    figure.savefig(output, dpi=130)


@click.command(help=__doc__)
@click.argument("pools", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--held-out", required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--every", default=4, show_default=True, help="Iterations, of the curves.")
@click.option(
    "--against",
    type=(str, click.Path(exists=True, path_type=Path)),
    multiple=True,
    metavar="ARM POOL",
    help="Another pool of an arm; may be repeated.",
)
@click.option("--output", type=click.Path(path_type=Path), help="Table; the picture is beside it.")
def main(
    pools: tuple[Path, ...],
    held_out: Path,
    every: int,
    against: tuple[tuple[str, Path], ...],
    output: Path | None,
) -> None:
    """Play all arms, and print the table."""
    world = Pool(pools[0]).champion().metadata.world
    task = make(world, held_out)
    frequency, ahead = best_tracker(world, Path(str(world.kwargs["clips"])))
    base = play(task, zero(task))
    tracked = play(task, tracker(task, frequency, ahead))
    curves = [champions(path, task, every) for path in pools]
    arms = {
        "trained": [curve[-1][1] for curve in curves],
        "untrained": [curve[0][1] for curve in curves],
        "zero actions": [base],
        f"tracker, {frequency:.0f} rad/s, {ahead} frames ahead": [tracked],
    }
    figures = ("life", "reward", "of the clip")
    head = ["arm", "seeds", *itertools.chain(*((name, "− zero") for name in figures))]
    head.append("reward − zero, steps that both lived")
    table = report.table(head, [row(name, arm, [base]) for name, arm in arms.items()])
    steps = ", ".join(f"{curve[-1][0]:,.0f}" for curve in curves)
    body = (
        f"{len(base.steps)} clips of {held_out.name}, {base.steps.min():.0f} to "
        f"{base.steps.max():.0f} control steps; trained for {steps} steps. The reward of a step is "
        f"5.1 at most.\n\n{table}"
    )
    if against:
        body += (
            f"\n\n## Beside other pools, at equal steps\n\n{compare(pools, against, task, head)}"
        )
    if output is not None:
        untrained = curves[0][0][1]
        lines = {"untrained": untrained, "zero actions": base, "tracker": tracked}
        draw(output.with_suffix(".png"), curves, lines)
        body = f"![Curves]({output.with_suffix('.png').name})\n\n{body}"
    names = " ".join(map(str, pools))
    command = f"python benchmarks/imitation.py {names} --held-out {held_out.name} --every {every}"
    command += "".join(f' --against "{name}" "{path}"' for name, path in against)
    report.keep(output, "Imitation of clips that were not trained on", command, body)


if __name__ == "__main__":
    main()
