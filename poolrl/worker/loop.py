"""The loop of a worker: find work, claim it, do it, deposit it; merge; follow the merge."""

from __future__ import annotations

import logging
import os
import random
import time
import uuid

from poolrl.algorithms.training import prepare
from poolrl.config.retention_rule import Keep
from poolrl.config.schema import RunOptions
from poolrl.errors import IncompatiblePool, PoolrlError
from poolrl.interrupts import Stop
from poolrl.job_environment import detect
from poolrl.pool.directory import Pool
from poolrl.pool.stop_criteria import Ending
from poolrl.provenance import differences, versions
from poolrl.records.records import MergeRecord, WorkerInfo
from poolrl.records.work_units import Unit, units_of
from poolrl.storage import store
from poolrl.storage.claims import Claims
from poolrl.storage.deposits import Archive
from poolrl.storage.layout import IterationLayout
from poolrl.worker.depositor import Depositor
from poolrl.worker.iteration_snapshot import Listing, look
from poolrl.worker.merging import merge_deposits
from poolrl.worker.phase_timer import Clock
from poolrl.worker.stragglers import Patience
from poolrl.worker.unit_computation import Computer
from poolrl.worker.unit_runner import Bench
from poolrl.worker.watchdog import Pulse

log = logging.getLogger("poolrl.worker")

WATCHED = 8
"""How many units of others a worker without work tries to take over, so that looking costs each
worker the same in a large pool as in a small one."""


class Worker:
    """A process that works on units of a pool until the pool is over.

    Any number of workers serve a pool; they come and go, and nothing waits for one of them by
    name. All they know of each other stands in the pool's directory.
    """

    def __init__(
        self,
        pool: Pool,
        ending: Ending,
        *,
        run: RunOptions | None = None,
        prefer: int | None = None,
        stop: Stop | None = None,
    ) -> None:
        """
        Args:
            pool: what to work on.
            ending: when to stop.
            run: what stays on disk, and how patient to be; the pool's last by default.
            prefer: the branch to look at first; a random one by default.
            stop: how this worker is asked to end.

        Raises:
            UsageError: the pool's task cannot be made here.
            IncompatiblePool: its model is another here.
        """
        self.pool = pool
        self.ending = ending
        self._run = run or pool.run
        self._prefer = prefer
        self._stop = stop or Stop()
        self._clock = Clock()
        computer = Computer(pool.spec, self._clock)
        if (difference := pool.model_difference(computer.model_sha256)) is not None:
            log.warning("%s", difference)
        prepare(pool.spec.learner)
        self.info = _introduce(pool)
        self._archive = Archive(pool)
        self._bench = Bench(
            pool,
            self._archive,
            computer,
            Depositor(self._archive, pool.spec_sha256, self.info, self._clock),
            self._clock,
            self._stop,
            keep=Keep.parse(self._run.keep),
        )
        self._claims = Claims(pool.spec.pool.lease_duration)
        self._pulse = Pulse(pool.layout, self.info, self._stop, self._run)
        self._random = random.Random()

    def run(self) -> MergeRecord:
        """Work until the pool is over.

        Returns:
            The last merge.

        Raises:
            PoolrlError: the pool cannot go on, or not with this worker.
            Stopped: somebody asked for the end, or the pool has stalled; claims are given back.
        """
        self._pulse.start()
        try:
            last = self._archive.newest_merge() or self._iterate(0, None)
            while last is not None and self.ending.reason(last) is None:
                if last.failed_iterations >= self._run.max_failed_iterations:
                    raise self._fruitless(last)
                following = self._iterate(last.iteration + 1, last)
                if following is None:
                    break
                last = following
            assert last is not None  # iteration 0 has no deadline
            self._close(last)
            return last
        finally:
            self._claims.forget()
            self._pulse.end()

    def _iterate(self, iteration: int, previous: MergeRecord | None) -> MergeRecord | None:
        """Work on an iteration until it is merged; ``None`` where time is up before."""
        layout = self.pool.layout.iteration(iteration)
        with self._clock.phase("look"):
            if store.read_if_there(self.pool.layout.spec) is None:
                raise IncompatiblePool(f"{self.pool.layout.spec}: gone; was the pool moved?")
            store.make_folder(layout.folder, parents=False)
        units = self._in_own_order(units_of(iteration, self.pool.spec.pool.count))
        patience = self._patience()
        pause = since = 0.0
        while True:
            self._stop.check()
            listing = self._look(layout, units, patience)
            if listing.merged:
                with self._clock.phase("look"):
                    return self._follow(iteration)
            if listing.complete or self._may_go_on(listing, patience):
                merged = self._merge(layout, previous, units)
                if merged is not None:
                    return merged
            if not listing.complete:
                if previous is not None and self.ending.time_is_up():
                    return None
                if self._work_through(listing, layout, previous, patience):
                    pause = 0.0
                    continue
            if not pause:
                since = time.monotonic()
            pause = self._wait(layout, pause, time.monotonic() - since)

    def _patience(self) -> Patience:
        lease_duration = self.pool.spec.pool.lease_duration
        return Patience(self._archive, lease_duration, self._run.branch_timeout)

    def _look(self, layout: IterationLayout, units: list[Unit], patience: Patience) -> Listing:
        with self._clock.phase("look"):
            listing = look(layout, units)
            patience.see(listing)
            return listing

    def _may_go_on(self, listing: Listing, patience: Patience) -> bool:
        """Whether all that is missing has been missing for too long, and enough is there."""
        branches = sum(unit.kind == "branch" for unit in listing.deposited)
        return branches >= self._run.min_deposits and all(
            patience.overdue(unit) for unit in [*listing.free, *listing.taken]
        )

    def _work_through(
        self,
        listing: Listing,
        layout: IterationLayout,
        previous: MergeRecord | None,
        patience: Patience,
    ) -> bool:
        """Do what is open, as long as the listing is worth trusting; whether anything was done."""
        done = False
        # What failed here comes last: a listing may be stale before the end is reached.
        units = [*listing.free, *listing.taken[:WATCHED]]
        for unit in sorted(units, key=lambda unit: unit in self._bench.failed):
            self._stop.check()
            lease = layout.lease(unit)
            if unit in self._bench.failed:
                if unit in listing.taken and self._claim(unit, layout, 0):
                    self._claims.release(lease)  # whoever had it is gone
                    self._give_way(unit)
            elif self._claim(unit, layout, 0):
                self._do(unit, layout, 0, previous, listing, patience)
                done = True
            if listing.is_stale():
                break
        if done:
            return True
        for unit, copy in patience.slow(listing)[:WATCHED]:
            if unit not in self._bench.failed and self._claim(unit, layout, copy):
                log.info("iteration %d %s: takes long; doubled", unit.iteration, unit.stem)
                self._do(unit, layout, copy, previous, listing, patience)
                return True
        if listing.free and not listing.taken and set(listing.free) <= self._bench.failed.keys():
            self._give_way(listing.free[0])
        return False

    def _do(
        self,
        unit: Unit,
        layout: IterationLayout,
        copy: int,
        previous: MergeRecord | None,
        listing: Listing,
        patience: Patience,
    ) -> None:
        """Do a unit that this worker has claimed, and give the claim back."""
        self._pulse.tell("working", unit.iteration, unit.stem)
        patience.claimed(unit)
        try:
            seconds = self._bench.do(unit, layout, previous, listing.attempts[unit.stem])
            if seconds is not None and unit.kind == "branch":
                patience.note(seconds)
        finally:
            with self._clock.phase("claim"):
                self._claims.release(layout.lease(unit, copy))

    def _give_way(self, unit: Unit) -> None:
        """End where all that is left is what this worker failed at, once the others have had time
        to claim it: a worker started anew may have more luck, or give it up.

        Raises:
            PoolrlError: with the reason of the failure.
        """
        reason, since = self._bench.failed[unit]
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

    def _claim(self, unit: Unit, layout: IterationLayout, copy: int) -> bool:
        """Whether a unit is this worker's to do."""
        lease = layout.lease(unit, copy)
        with self._clock.phase("claim"):
            # Only where the pool may go on without a unit does it matter who fell silent over it.
            silent = self._run.branch_timeout is not None and os.path.lexists(lease)
            if not self._claims.claim(lease):
                return False
            if store.read_if_there(layout.record(unit)) is not None:
                self._claims.release(lease)  # somebody deposited it since we looked
                return False
        if silent:
            self._bench.note_silence(unit)
        return True

    def _wait(self, layout: IterationLayout, pause: float, waited: float) -> float:
        """Wait for others, each time a little longer, and look for the merge alone meanwhile.

        Args:
            layout: of the iteration.
            pause: what the last call returned; 0 at first.
            waited: seconds since then.

        Returns:
            The pause to begin with the next time.
        """
        self._pulse.tell("waiting", int(layout.folder.name))
        # At most two percent of a unit, or of the wait, so that a barrier costs little and polls
        # are few.
        longest = min(2.0, max(0.02, 0.02 * max(self._bench.longest_unit, waited)))
        pause = min(longest, max(0.002, 1.5 * pause))
        watch = self.pool.spec.pool.lease_duration / 10 if pause == longest else 0.0
        with self._clock.phase("waiting"):
            until = time.monotonic() + watch
            while True:
                self._stop.sleep(pause * self._random.uniform(0.5, 1.0))
                if time.monotonic() >= until or store.read_if_there(layout.merge) is not None:
                    return pause

    def _merge(
        self, layout: IterationLayout, previous: MergeRecord | None, units: list[Unit]
    ) -> MergeRecord | None:
        """Merge an iteration, unless somebody else is on it or it turns out not to be complete."""
        self._pulse.tell("merging", units[0].iteration)
        with self._clock.phase("merge"):
            if not self._claims.claim(layout.merge_lease):
                return None
            try:
                merged = merge_deposits(
                    self.pool,
                    self._archive,
                    previous,
                    units,
                    self.info,
                    least=self._run.min_deposits if self._run.branch_timeout else None,
                )
                return self._follow(units[0].iteration) if merged else None
            finally:
                self._claims.release(layout.merge_lease)

    def _follow(self, iteration: int) -> MergeRecord:
        """Read the iteration's merge, whoever wrote it, and forget what was before."""
        merged = self._archive.merge(iteration)
        self._claims.forget()
        self._bench.failed.clear()
        return merged

    def _close(self, last: MergeRecord) -> None:
        """Have the pool's result measured on reserved seeds, by this worker or another."""
        layout = self.pool.layout.iteration(last.iteration)
        closing = [Unit(last.iteration, "closing", 0)]
        patience = self._patience()
        pause = 0.0
        while True:
            self._stop.check()
            listing = self._look(layout, closing, patience)
            if listing.complete:
                if self._archive.deposit(closing[0], last.champion.sha256) is not None:
                    return
                continue  # it was damaged, and is set aside now
            if not self._work_through(listing, layout, last, patience):
                self._pulse.tell("waiting", last.iteration)
                pause = min(0.5, max(0.01, 1.5 * pause))
                with self._clock.phase("waiting"):
                    self._stop.sleep(pause)

    def _fruitless(self, last: MergeRecord) -> PoolrlError:
        deposits = map(self._archive.deposit, units_of(last.iteration, self.pool.spec.pool.count))
        reason = next((d.reason for d in deposits if d is not None and d.reason), "unknown")
        return PoolrlError(
            f"{self.pool.layout.root}: no branch succeeded in the last {last.failed_iterations} "
            f"iterations: {reason}"
        )


def _introduce(pool: Pool) -> WorkerInfo:
    """Who this worker is, with a warning where its results may differ from the pool's."""
    differing = differences(pool.made_with)
    if differing:
        told = ", ".join(f"{name}: {there} → {here}" for name, (there, here) in differing.items())
        log.warning("the last bits of results may differ from those of the pool's maker: %s", told)
    here = detect()
    return WorkerInfo(
        id=uuid.uuid4().hex,
        host=here.host,
        pid=os.getpid(),
        versions=versions(),
        differs=tuple(differing),
        job=here.job,
        restarts=here.restarts,
    )
