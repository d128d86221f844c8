"""Find the agents that a video shows: of a file, or champions of a pool."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from msgspec.structs import replace

from poolrl.agent import Agent
from poolrl.config.exploration import DEPSpec, Exploration, NoExploration
from poolrl.config.types import Aggregate
from poolrl.errors import IncompatiblePool, UsageError
from poolrl.pool.directory import Pool, open_pool
from poolrl.records.records import Champion
from poolrl.storage.deposits import DepositStore


class ShownAgent(NamedTuple):
    """An agent.

    Attributes:
        agent: of a file or a pool.
        iteration: of which it is the champion; ``None`` for a file's.
        exploration: of its pool, as it is after that iteration; ``None`` for a file's, which does
            not say.
        aggregates: of values of the task's ``info``, by name, that its pool gives.
    """

    agent: Agent
    iteration: int | None = None
    exploration: Exploration | None = None
    aggregates: Mapping[str, Aggregate] = MappingProxyType({})


def shown_agents(path: Path, iterations: str | None = None) -> list[ShownAgent]:
    """Read the agents to show.

    Args:
        path: an agent file, or a pool.
        iterations: of a pool, such as ``0,10,last``; ``None`` for the newest champion.

    Raises:
        UsageError: there is no such agent or iteration, or the pool has no champion yet.
        IncompatiblePool: the pool, or a champion's file, is damaged.
    """
    if not os.path.isdir(path):
        if iterations is not None:
            raise UsageError(f"--iterations: {path} is an agent file, and has none")
        return [ShownAgent(Agent.load(path))]
    pool = open_pool(path)
    store = pool.deposit_store()
    newest = store.newest_merge()
    if newest is None:
        raise UsageError(f"{path}: the pool has no champion yet")
    return [
        champion(pool, store, number)
        for number in _numbers(iterations or "last", newest.iteration, path)
    ]


def champion(pool: Pool, store: DepositStore, iteration: int) -> ShownAgent:
    """Read the agent that the pool would have ended with after an iteration.

    Args:
        pool: the pool.
        store: its deposits.
        iteration: a merged one.

    Raises:
        UsageError, IncompatiblePool: the merge or the agent is missing or damaged.
    """
    merged = store.merge(iteration)
    named: Champion = merged.result
    data, path = store.champion(named), pool.layout.resolve(named.path)
    try:
        agent = Agent.from_bytes(data, str(path))
    except UsageError as error:
        raise IncompatiblePool(str(error)) from error
    exploration = pool.spec.exploration
    if isinstance(exploration, DEPSpec):  # of a prefill, what is left
        left = max(exploration.prefill_steps - merged.training_steps, 0)
        exploration = replace(exploration, prefill_steps=left)
    return ShownAgent(agent, iteration, exploration, pool.spec.evaluation.info)


def exploration_of(shown: ShownAgent) -> Exploration:
    """How the training of an agent's pool explores.

    Raises:
        UsageError: it does not, or the agent is a file's.
    """
    if shown.exploration is None:
        raise UsageError(
            "--exploration: an agent file does not say how its pool explores; name the pool"
        )
    if isinstance(shown.exploration, NoExploration):
        raise UsageError("--exploration: training in this pool does not explore")
    return shown.exploration


def _numbers(text: str, newest: int, path: Path) -> Sequence[int]:
    """Parse iterations, of which all up to the newest are merged."""
    numbers = []
    for word in text.split(","):
        name = word.strip()
        if name == "last":
            numbers.append(newest)
            continue
        if re.fullmatch(r"\d{1,9}", name) is None:
            raise UsageError(f"--iterations: {word!r}: write numbers and last, as in 0,10,last")
        if int(name) > newest:
            raise UsageError(f"--iterations {name}: {path} has iterations 0 to {newest}")
        numbers.append(int(name))
    return numbers
