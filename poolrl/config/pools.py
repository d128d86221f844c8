"""Structure of the section `[pool]`: size, seed and budgets."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from poolrl.config.types import Count, Episodes, Natural, Positive, Section
from poolrl.formatting import count


class PoolSpec(Section, frozen=True):
    """Size, seed and budgets of the pool and its iterations."""

    count: Annotated[int, Meta(ge=1, le=100_000)] = 10
    """Branches per iteration."""
    later_count: Annotated[int, Meta(ge=0, le=100_000)] = 0
    """Branches of each iteration after the first, if not 0 and fewer than `count`: where lines of
    training part in the first one, and branches of its champion differ little. The cores that are
    left go to threads. A `pool.toml` with it is of schema 2, which earlier versions refuse."""
    seed: Natural = 0
    """Seed of all random streams of the pool."""
    iterate_episodes: Episodes = 10
    """Episodes that a branch trains for."""
    iterate_steps: Natural = 0
    """Control steps that a branch trains for instead of episodes, if not 0: no episode starts once
    they are taken, and episodes in progress run to their end. For tasks with episodes of twenty
    steps at first and a thousand later."""
    evaluate_episodes: Episodes = 10
    """Episodes of the evaluation, without updates, of each branch and of the parent."""
    closing_episodes: Episodes = 100
    """Episodes of the closing evaluation, on seeds that nothing else uses."""
    max_attempts: Count = 3
    """Attempts that may fail on their workers' side before a unit is abandoned."""
    lease_duration: Positive = 30.0
    """Seconds without progress of its lease after which a unit may be taken over."""

    def branches(self, iteration: int) -> int:
        """Number of branches of an iteration.

        Args:
            iteration: its number, from 1.
        """
        return self.fewest if iteration > 1 else self.count

    @property
    def fewest(self) -> int:
        """Number of branches of the iterations after the first."""
        return min(self.later_count or self.count, self.count)

    @property
    def size(self) -> str:
        """The numbers of branches in words: ``10 branches``, ``20 branches, then 5``."""
        text = count(self.count, "branch")
        return text if self.fewest == self.count else f"{text}, then {self.fewest}"
