"""How far tasks are from Gymnasium's own: the same seeds, the same actions, side by side.

    python benchmarks/parity.py [--streams 10] [--steps 1000] [--write docs/parity.md]

A stream is a simulation of poolrl and an environment of Gymnasium's that begin with one seed; where
an episode ends, both go on with the next one from where their random numbers are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import gymnasium
import numpy as np
from gymnasium.utils.seeding import np_random

from poolrl import tasks
from poolrl.tasks.base import Info

TASKS = (
    "InvertedPendulum-v5",
    "InvertedDoublePendulum-v5",
    "Reacher-v5",
    "Pusher-v5",
    "Swimmer-v5",
    "Hopper-v5",
    "HalfCheetah-v5",
    "Walker2d-v5",
    "Ant-v5",
    "Humanoid-v5",
    "HumanoidStandup-v5",
)

TITLE = """# Parity with Gymnasium

The largest absolute differences between poolrl's tasks and Gymnasium's, and how many steps ended an
episode in one of them alone; written by `python benchmarks/parity.py --write docs/parity.md`. Both
begin with the same seeds and get the same random actions; whatever ends an episode, the next one
begins. Resets are compared too, and every value of `info`.
"""


@dataclass
class Difference:
    """The largest absolute differences that were met.

    Attributes:
        observation: of observations, of resets too.
        reward: of rewards.
        info: of all values of ``info``, of resets too; infinite where one has other values.
        endings: steps that terminated or truncated one and not the other.
        episodes: episodes that ended.
    """

    observation: float = 0.0
    reward: float = 0.0
    info: float = 0.0
    endings: int = 0
    episodes: int = 0

    @property
    def none(self) -> bool:
        return self.observation == self.reward == self.info == self.endings == 0


def distance(ours: Any, theirs: Any) -> float:
    """The largest absolute difference; NaN equals NaN, and nothing else."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    if ours.shape != theirs.shape:
        return np.inf
    if np.array_equal(ours, theirs, equal_nan=True):
        return 0.0
    return float(np.nan_to_num(np.abs(ours - theirs), nan=np.inf).max())


def info_distance(ours: Info, theirs: Mapping[str, Any], row: int) -> float:
    """The largest difference of a simulation's row to one environment's info."""
    if ours.keys() != theirs.keys():
        return np.inf
    return max((distance(ours[name][row], theirs[name]) for name in ours), default=0.0)


def compare(
    task_id: str,
    streams: int,
    steps: int,
    *,
    kwargs: Mapping[str, Any] | None = None,
    limit: int | None = None,
    scale: float = 1.0,
) -> Difference:
    """Play streams of episodes in both.

    Args:
        task_id: an id of Gymnasium's.
        streams: how many, from as many seeds.
        steps: control steps of each, resets apart.
        kwargs: the task's arguments.
        limit: the time limit; ``None`` for the task's own.
        scale: of actions that are drawn uniformly in their bounds; from 2 on they are all thrown to
            their ends times this.
    """
    task = tasks.make(task_id, streams, max_episode_steps=limit or 0, kwargs=dict(kwargs or {}))
    envs = [
        gymnasium.make(
            task_id, max_episode_steps=limit, disable_env_checker=True, **dict(kwargs or {})
        )
        for _ in range(streams)
    ]
    generators = [np_random(seed)[0] for seed in range(streams)]
    found = Difference()

    def reset(ids: np.ndarray, seeds: Iterable[int | None]) -> None:
        task.reset(ids, [generators[i] for i in ids])
        observation, info = task.observe(), task.reset_info()
        for i, seed in zip(ids, seeds, strict=True):
            theirs, their_info = envs[i].reset(seed=seed)
            found.observation = max(found.observation, distance(observation[i], theirs))
            found.info = max(found.info, info_distance(info, their_info, i))

    reset(np.arange(streams), range(streams))
    rng = np.random.default_rng(0)
    space = task.action_space
    assert isinstance(space, gymnasium.spaces.Box)
    for _ in range(steps):
        action = rng.uniform(space.low, space.high, (streams, *space.shape)).astype(np.float32)
        if scale >= 2:
            middle = (space.low + space.high) / 2
            action = np.where(action > middle, space.high * scale, space.low * scale)
        result = task.step(action)
        info = task.info()
        for i, env in enumerate(envs):
            observation, reward, terminated, truncated, their_info = env.step(action[i])
            found.observation = max(found.observation, distance(result.observation[i], observation))
            found.reward = max(found.reward, distance(result.reward[i], reward))
            found.info = max(found.info, info_distance(info, their_info, i))
            found.endings += (result.terminated[i], result.truncated[i]) != (terminated, truncated)
        ended = np.flatnonzero(result.terminated | result.truncated)
        if ended.size:
            found.episodes += ended.size
            reset(ended, [None] * ended.size)
    for env in envs:
        env.close()
    return found


def heading() -> str:
    """The heading of this version's section."""
    return f"## mujoco {version('mujoco')}"


def row(task_id: str, found: Difference) -> str:
    return (
        f"| {task_id} | {found.observation:g} | {found.reward:g} | {found.info:g} "
        f"| {found.endings} | {found.episodes} |"
    )


def parse(document: str) -> dict[str, dict[str, Difference]]:
    """What a document states, by the version of mujoco and by task."""
    stated: dict[str, dict[str, Difference]] = {}
    for section in re.split(r"^## mujoco ", document, flags=re.MULTILINE)[1:]:
        name, _, text = section.partition("\n")
        rows = re.findall(r"^\| (\S+-v5) \|(.*)\|$", text, flags=re.MULTILINE)
        stated[name.strip()] = {}
        for task_id, line in rows:
            observation, reward, info, endings, episodes = line.split("|")
            stated[name.strip()][task_id] = Difference(
                float(observation), float(reward), float(info), int(endings), int(episodes)
            )
    return stated


def write(path: Path, section: str) -> None:
    """Put a section into a document, in place of the one of its version."""
    text = path.read_text() if path.is_file() else ""
    sections = {
        part.partition("\n")[0]: part.strip()
        for part in re.split(r"^(?=## )", text, flags=re.MULTILINE)[1:]
    }
    sections[section.partition("\n")[0]] = section.strip()
    ordered = [sections[name] for name in sorted(sections)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n\n".join([TITLE.strip(), *ordered]) + "\n")


@click.command()
@click.option("--streams", default=10, show_default=True)
@click.option("--steps", default=1000, show_default=True)
@click.option("--write", "document", type=click.Path(path_type=Path))
def main(streams: int, steps: int, document: Path | None) -> None:
    """Print a table, and write it to the document's section of this version of mujoco."""
    used = ", ".join(f"{name} {version(name)}" for name in ("mujoco", "gymnasium", "numpy"))
    lines = [
        heading(),
        "",
        f"{used}; {streams} streams of {steps} steps each.",
        "",
        "| task | observation | reward | info | differing ends | episodes |",
        "|---|---|---|---|---|---|",
    ]
    click.echo("\n".join(lines))
    for task_id in TASKS:
        lines.append(row(task_id, compare(task_id, streams, steps)))
        click.echo(lines[-1])
    if document:
        write(document, "\n".join(lines))


if __name__ == "__main__":
    main()
