"""Scores of kept champions: mean return of fresh episodes that all champions of a task share.

**Which champions count.** One that is another agent than the champion that counted before it, and
that comes at least ``score_every`` charged CPU seconds after it (after the start, for the first).
Without that rule, an arm with short iterations would have more tries at two lucky scores in a row
than one with long ones. The initial agent does not count.

**The target is reached** at the first of two consecutive champions that count whose scores are both
at the target or above. Scores are measured lazily: every second champion that counts, in order, and
a neighbour of each that is at the target, until that one is found; besides ``CURVE`` champions that
are spread evenly over those that count, for the picture, the last one among them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from run_data import RunData

from poolrl.agent import Agent
from poolrl.errors import Divergence
from poolrl.records.records import Champion
from poolrl.rollouts.evaluation import evaluate_agent
from poolrl.storage.deposits import DepositStore

EPISODES = 20
SEED = 20_000_000
"""Of the initial states; the streams of evaluations outside a pool are none of a pool's."""

CURVE = 40
"""Champions of a run that are measured for the picture."""


class Scores:
    """Scores by SHA-256 of the agent, in a file of which each line is one: measured once."""

    def __init__(self, path: Path) -> None:
        """
        Args:
            path: of the file; made when the first score is added.
        """
        self._path = path
        self.known: dict[str, float | None] = {}
        if path.exists():
            for line in path.read_text().splitlines():
                sha256, score = json.loads(line)
                self.known[sha256] = score

    def of(self, champion: Champion, deposits: DepositStore) -> float | None:
        """Mean return of ``EPISODES`` episodes with deterministic actions; ``None`` if a return
        is not finite.

        Args:
            champion: of a merge.
            deposits: of its pool.
        """
        if champion.sha256 not in self.known:
            agent = Agent.from_bytes(deposits.champion(champion), champion.path)
            score = measure(agent)
            self.known[champion.sha256] = score
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a") as file:
                file.write(json.dumps([champion.sha256, score]) + "\n")
        return self.known[champion.sha256]


def measure(agent: Agent) -> float | None:
    """Mean return of an agent; ``None`` if it diverged."""
    try:
        summary = evaluate_agent(
            agent,
            agent.metadata.world,
            EPISODES,
            SEED,
            deterministic=True,
            simulations=EPISODES,
        )
    except Divergence:
        return None
    return summary.mean


def counting(run: RunData) -> list[int]:
    """Positions in ``run.iterations`` of the iterations whose champions count."""
    found = []
    last, since = "", 0.0
    for position, iteration in enumerate(run.iterations):
        since += run.charged(iteration)
        if iteration.number == 0:
            last = iteration.champion
        elif iteration.champion != last and since >= run.score_every:
            found.append(position)
            last, since = iteration.champion, 0.0
    return found


def first_of_two(number: int, reached: Callable[[int], bool]) -> int | None:
    """The first i with ``reached(i)`` and ``reached(i + 1)``; ``None`` if there is none.

    Every pair has one odd position, so that those alone are asked for first.

    Args:
        number: of positions; both of a pair are below it.
        reached: asked for as few positions as decide, in order.
    """
    for odd in range(1, number, 2):
        if reached(odd):
            if reached(odd - 1):
                return odd - 1
            if odd + 1 < number and reached(odd + 1):
                return odd
    return None


def spread(number: int, most: int = CURVE) -> list[int]:
    """At most so many of the positions below ``number``, spread evenly, the last one among them."""
    if number <= most:
        return list(range(number))
    return sorted({round(i * (number - 1) / (most - 1)) for i in range(most)})


def target_position(run: RunData) -> int | None:
    """Position in ``run.iterations`` of the iteration that reached the target; ``None`` if none
    did, or there is no target.

    A champion without a score is not at the target: all that could decide were measured.

    """
    if run.target is None:
        return None
    target = run.target
    positions = counting(run)

    def reached(index: int) -> bool:
        score = run.iterations[positions[index]].score
        return score is not None and score >= target

    first = first_of_two(len(positions), reached)
    return None if first is None else positions[first]


def score_run(run: RunData, score: Callable[[int], float | None]) -> None:
    """Measure the champions of a run that have to be.

    Args:
        run: a run, with its target if there is one.
        score: measures, and keeps, the score of the champion of the iteration at a position.
    """
    positions = counting(run)
    if run.target is not None:
        target = run.target

        def reached(index: int) -> bool:
            value = score(positions[index])
            return value is not None and value >= target

        first_of_two(len(positions), reached)
    for index in spread(len(positions)):
        score(positions[index])
