"""The loop of a worker: find work, claim it, do it, deposit it; merge; follow the merge."""

from __future__ import annotations

import logging
import os
import random
import socket
import time
import uuid

from msgspec.structs import replace

from poolrl.agent import Agent
from poolrl.errors import PoolrlError
from poolrl.learn import prepare
from poolrl.pool import store
from poolrl.pool.archive import Archive
from poolrl.pool.ending import Ending
from poolrl.pool.layout import IterationLayout
from poolrl.pool.records import MergeRecord, WorkerInfo
from poolrl.pool.select import NothingToSelect, merge
from poolrl.pool.spec import Pool
from poolrl.pool.units import Unit, units_of
from poolrl.pool.worker.clock import Clock
from poolrl.pool.worker.compute import Computer
from poolrl.pool.worker.deposit import Depositor
from poolrl.pool.worker.look import Listing, look
from poolrl.versions import versions

log = logging.getLogger("poolrl.worker")

MOST_FAILURES = 3
"""Units in a row that a worker may fail for reasons of its own before it ends: a machine without
memory must not eat up every unit's attempts."""


class Worker:
    """A process that works on units of a pool until the pool is over.

    Any number of workers serve a pool; they come and go, and nothing waits for one of them by
    name. All they know of each other stands in the pool's directory.
    """

    def __init__(
        self, pool: Pool, ending: Ending, *, keep_all: bool = False, prefer: int | None = None
    ) -> None:
        """
        Args:
            pool: what to work on.
            ending: when to stop.
            keep_all: whether losers' agents stay on disk.
            prefer: the branch to look at first; a random one by default.

        Raises:
            UsageError: the pool's task cannot be made here.
            IncompatiblePool: its model is another here.
        """
        self.pool = pool
        self.ending = ending
        self.info = WorkerInfo(
            id=uuid.uuid4().hex, host=socket.gethostname(), pid=os.getpid(), versions=versions()
        )
        self._keep_all = keep_all
        self._prefer = prefer
        self._archive = Archive(pool)
        self._clock = Clock()
        self._depositor = Depositor(self._archive, pool.spec_sha256, self.info, self._clock)
        self._computer = Computer(pool.spec, self._clock)
        if (difference := pool.model_difference(self._computer.model_sha256)) is not None:
            log.warning("%s", difference)
        prepare(pool.spec.learner)
        self._claims = store.Claims(pool.spec.pool.lease_duration)
        self._champion: tuple[str, Agent] | None = None
        self._failed: dict[Unit, tuple[str, float]] = {}
        self._failures_in_a_row = 0
        self._random = random.Random()
        self._longest_unit = 0.0

    def run(self) -> MergeRecord:
        """Work until the pool is over.

        Returns:
            The last merge.

        Raises:
            PoolrlError: the pool cannot go on, or not with this worker.
        """
        try:
            last = self._archive.newest_merge() or self._iterate(0, None)
            while last is not None and self.ending.reason(last) is None:
                following = self._iterate(last.iteration + 1, last)
                if following is None:
                    break
                last = following
            assert last is not None  # iteration 0 has no deadline
            self._close(last)
            return last
        finally:
            self._claims.forget()

    def _iterate(self, iteration: int, previous: MergeRecord | None) -> MergeRecord | None:
        """Work on an iteration until it is merged; ``None`` where time is up before."""
        layout = self.pool.layout.iteration(iteration)
        with self._clock.phase("look"):
            store.make_folder(layout.folder)
        units = self._in_own_order(units_of(iteration, self.pool.spec.pool.count))
        pause = 0.0
        while True:
            with self._clock.phase("look"):
                listing = look(layout, units)
            if listing.merged:
                with self._clock.phase("look"):
                    return self._follow(iteration)
            if listing.complete:
                merged = self._merge(layout, previous, units)
                if merged is not None:
                    return merged
            elif previous is not None and self.ending.time_is_up():
                return None
            elif self._work_through(listing, layout, previous):
                pause = 0.0
                continue
            pause = self._wait(layout, pause)

    def _work_through(
        self, listing: Listing, layout: IterationLayout, previous: MergeRecord | None
    ) -> bool:
        """Do what is open, as long as the listing is worth trusting; whether anything was done."""
        done = False
        for unit in [*listing.free, *listing.taken]:
            if unit in self._failed:
                if unit in listing.taken and self._claim(unit, layout):
                    self._claims.release(layout.lease(unit))  # whoever had it is gone
                    self._give_way(unit)
            elif self._claim(unit, layout):
                self._do(unit, layout, previous, listing.attempts[unit.stem])
                done = True
            if listing.is_stale():
                break
        if not done and not listing.taken and set(listing.free) <= self._failed.keys():
            self._give_way(listing.free[0])
        return done

    def _give_way(self, unit: Unit) -> None:
        """End where all that is left is what this worker failed at, once the others have had time
        to claim it: a worker started anew may have more luck, or give it up.

        Raises:
            PoolrlError: with the reason of the failure.
        """
        reason, since = self._failed[unit]
        if time.monotonic() - since > self.pool.spec.pool.lease_duration / 10:
            raise PoolrlError(f"iteration {unit.iteration} {unit.stem}: {reason}")

    def _in_own_order(self, units: list[Unit]) -> list[Unit]:
        """Workers begin at different branches, so that they rarely want the same claim; the
        parent stays last, since the shortest unit fills the gap before the barrier best."""
        *branches, last = units
        if not branches:
            return units
        start = self._random.randrange(len(branches)) if self._prefer is None else self._prefer
        start %= len(branches)
        return [*branches[start:], *branches[:start], last]

    def _claim(self, unit: Unit, layout: IterationLayout) -> bool:
        """Whether a unit is this worker's to do."""
        with self._clock.phase("claim"):
            if not self._claims.claim(layout.lease(unit)):
                return False
            if store.read_if_there(layout.record(unit)) is None:
                return True
            self._claims.release(layout.lease(unit))  # somebody deposited it since we looked
            return False

    def _wait(self, layout: IterationLayout, pause: float) -> float:
        """Wait for others, each time a little longer, and look for the merge alone meanwhile.

        Returns:
            The pause to begin with the next time.
        """
        # At most two percent of a unit, so that a barrier costs little and polls are few.
        longest = min(2.0, max(0.02, 0.02 * self._longest_unit))
        pause = min(longest, max(0.002, 1.5 * pause))
        watch = self.pool.spec.pool.lease_duration / 20 if pause == longest else 0.0
        with self._clock.phase("waiting"):
            until = time.monotonic() + watch
            while True:
                time.sleep(pause * self._random.uniform(0.5, 1.0))
                if time.monotonic() >= until or store.read_if_there(layout.merge) is not None:
                    return pause

    # Units

    def _do(
        self, unit: Unit, layout: IterationLayout, previous: MergeRecord | None, attempts: int
    ) -> None:
        """Compute a unit that this worker has claimed, and deposit it.

        Args:
            unit: what to do.
            layout: of its iteration.
            previous: the merge to start from.
            attempts: how many tries at it have failed.
        """
        started = time.monotonic()
        try:
            if unit.kind in ("parent", "closing") and previous and not self._keep_all:
                with self._clock.phase("merge"):
                    self._archive.remove_losers(previous)
            if attempts >= self.pool.spec.pool.max_attempts and unit.kind != "initial":
                reason = f"{attempts} attempts failed; see {unit.stem}.attempt-*.json"
                self._depositor.deposit(unit, previous, None, reason)
                return
            with self._clock.phase("load"):
                champion = self._start_agent(previous)
            try:
                result = self._computer.compute(unit, champion)
            except PoolrlError:
                raise
            except Exception as error:
                self._clock.drop()
                self._fail(unit, error)
                return
            self._failures_in_a_row = 0
            self._longest_unit = max(self._longest_unit, time.monotonic() - started)
            if unit.kind != "closing" and store.read_if_there(layout.merge) is not None:
                log.info("iteration %d %s: merged without us; dropped", unit.iteration, unit.stem)
                self._clock.drop()
                return
            self._depositor.deposit(unit, previous, result)
        finally:
            with self._clock.phase("claim"):
                self._claims.release(layout.lease(unit))

    def _start_agent(self, previous: MergeRecord | None) -> Agent | None:
        """The agent that a unit starts from; ``None`` where the seed draws it."""
        if previous is None:
            given = self._archive.given_agent()
            return None if given is None else self._computer.read(given, "the agent to start from")
        sha256 = previous.champion.sha256
        if self._champion is None or self._champion[0] != sha256:
            data = self._archive.champion(previous)
            self._champion = (sha256, self._computer.read(data, previous.champion.path))
        return self._champion[1]

    def _fail(self, unit: Unit, error: Exception) -> None:
        """Note a try that failed for reasons of this worker, and leave the unit to others.

        Raises:
            PoolrlError: too many in a row.
        """
        reason = self._depositor.note_attempt(unit, error)
        self._failed[unit] = (reason, time.monotonic())
        self._failures_in_a_row += 1
        if self._failures_in_a_row >= MOST_FAILURES:
            raise PoolrlError(f"iteration {unit.iteration} {unit.stem}: {reason}")

    # Merging and following

    def _merge(
        self, layout: IterationLayout, previous: MergeRecord | None, units: list[Unit]
    ) -> MergeRecord | None:
        """Merge an iteration whose deposits are all there; ``None`` where somebody else is on it,
        or where a deposit had to be set aside and is to be done again."""
        with self._clock.phase("merge"):
            if not self._claims.claim(layout.merge_lease):
                return None
            try:
                deposits = [d for unit in units if (d := self._archive.deposit(unit)) is not None]
                if len(deposits) < len(units):
                    return None
                iteration = units[0].iteration
                try:
                    record = merge(
                        previous,
                        deposits,
                        iteration=iteration,
                        branches=self.pool.spec.pool.count,
                        selection=self.pool.spec.selection,
                        spec_sha256=self.pool.spec_sha256,
                    )
                except NothingToSelect as error:
                    reasons = "; ".join(deposit.reason for deposit in deposits)
                    raise PoolrlError(f"{self.pool.layout.root}: {error}: {reasons}") from error
                signed = replace(record, worker=self.info, finished=time.time())
                if not self._archive.publish_merge(signed):
                    return None
                return self._follow(iteration)
            finally:
                self._claims.release(layout.merge_lease)

    def _follow(self, iteration: int) -> MergeRecord:
        """Read the iteration's merge, whoever wrote it, and forget what was before."""
        merged = self._archive.merge(iteration)
        self._claims.forget()
        self._failed.clear()
        return merged

    def _close(self, last: MergeRecord) -> None:
        """Have the pool's result measured on reserved seeds, by this worker or another."""
        layout = self.pool.layout.iteration(last.iteration)
        unit = Unit(last.iteration, "closing", 0)
        pause = 0.0
        while not (listing := look(layout, [unit])).complete or self._archive.deposit(unit) is None:
            if self._work_through(listing, layout, last):
                continue
            with self._clock.phase("waiting"):
                pause = min(0.5, max(0.01, 1.5 * pause))
                time.sleep(pause)
