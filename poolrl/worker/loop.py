"""The loop of a worker: snapshot, claim, compute, deposit; merge; follow the merge."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence

from poolrl import files
from poolrl.algorithms.training import prepare
from poolrl.clock import SYSTEM_CLOCK, Clock
from poolrl.config.run_options import RetentionRule, RunOptions
from poolrl.errors import IncompatiblePool, PoolrlError
from poolrl.interrupts import InterruptHandler
from poolrl.pool.directory import Pool
from poolrl.pool.stop_criteria import StopCriteria
from poolrl.records.records import MergeRecord
from poolrl.records.work_units import Unit, second_stage_of, units_of
from poolrl.storage.claims import Claims
from poolrl.worker.iteration_snapshot import IterationSnapshot
from poolrl.worker.merging import merge_deposits, publish_sources
from poolrl.worker.open_iteration import OpenIteration, rotated
from poolrl.worker.phase_timer import PhaseTimer
from poolrl.worker.unit_computation import UnitComputation
from poolrl.worker.unit_runner import UnitRunner, describe_worker
from poolrl.worker.watchdog import Watchdog

log = logging.getLogger("poolrl.worker")

MAX_TAKEOVER_TRIES = 8
"""Claimed units that a worker tries to take over per snapshot, so that a snapshot costs each worker
the same in a large pool as in a small one."""


class Worker:
    """A process that computes units of a pool until the pool is over.

    Any number of workers serve a pool, and may come and go at any time. They communicate only by
    the files of the pool, and none waits for a particular other one.
    """

    def __init__(
        self,
        pool: Pool,
        stop_criteria: StopCriteria,
        *,
        run: RunOptions | None = None,
        prefer: int | None = None,
        interrupts: InterruptHandler | None = None,
        after_merge: Sequence[Callable[[MergeRecord], None]] = (),
        clock: Clock = SYSTEM_CLOCK,
        claims: Claims | None = None,
    ) -> None:
        """
        Args:
            pool: the pool.
            stop_criteria: when to stop.
            run: retention and timeouts; those of the pool's last run by default.
            prefer: index of the branch to try first; random by default.
            interrupts: requests to stop this worker.
            after_merge: called with each merge that this worker has followed; their errors are
                logged.
            clock: of all waits and timeouts.
            claims: of this worker; leases on disk by default.

        Raises:
            UsageError: the pool's task cannot be made here.
            IncompatiblePool: its model differs here.
        """
        self.pool = pool
        self.stop_criteria = stop_criteria
        self._run = run or pool.run
        self._prefer = prefer
        self._interrupts = interrupts or InterruptHandler()
        self._after_merge = after_merge
        self._clock = clock
        self._claims = claims or Claims(pool.store, pool.spec.pool.lease_duration, clock)
        self._timer = PhaseTimer(clock)
        computation = self._computation = UnitComputation(
            pool.spec,
            self._timer,
            pool=pool,
            threads=self._run.threads or 1,
            replay_folder=self._run.replay_folder,
        )
        try:
            if (difference := pool.model_difference(computation.model_sha256)) is not None:
                log.warning("%s", difference)
            prepare(pool.spec.learner)
        except BaseException:
            computation.close()
            raise
        self.info = describe_worker(pool)
        self._deposit_store = pool.deposit_store()
        self._runner = UnitRunner(
            pool,
            computation,
            self.info,
            self._timer,
            self._interrupts,
            RetentionRule.parse(self._run.keep),
            clock,
        )
        self._watchdog = Watchdog(pool.store, self.info, self._interrupts, self._run, clock)
        self._random = random.Random()

    def run(self) -> MergeRecord:
        """Work until the pool is over, and then close the task.

        Returns:
            The last merge.

        Raises:
            PoolrlError: the pool cannot continue, or not with this worker.
            Stopped: a stop was requested, or the pool has stalled; claims are released.
        """
        self._watchdog.start()
        try:
            last = self._deposit_store.newest_merge() or self._next_merge(0, None)
            while last is not None and self.stop_criteria.reason(last) is None:
                if last.failed_iterations >= self._run.max_failed_iterations:
                    raise self._no_branch_succeeds(last)
                following = self._next_merge(last.iteration + 1, last)
                if following is None:
                    break
                last = following
            assert last is not None  # iteration 0 has no deadline
            self._close(last)
            return last
        finally:
            self._claims.forget()
            self._watchdog.end()
            self._runner.close_tasks()

    def _next_merge(self, number: int, previous: MergeRecord | None) -> MergeRecord | None:
        """Work on an iteration, and run the hooks after its merge."""
        merged = self._iterate(number, previous)
        if merged is not None:
            for hook in self._after_merge:
                try:
                    hook(merged)
                except Exception:
                    log.exception("iteration %d: a hook failed after the merge", number)
        return merged

    # An iteration

    def _iterate(self, number: int, previous: MergeRecord | None) -> MergeRecord | None:
        """Work on an iteration until it is merged; ``None`` if the deadline passes before."""
        with self._timer.phase("look"):
            if self.pool.store.read_if_there(self.pool.layout.spec) is None:
                raise IncompatiblePool(f"{self.pool.layout.spec}: gone; was the pool moved?")
            folder = self.pool.layout.iteration(number).folder
            self.pool.store.make_folder(folder, parents=False)
        units = units_of(number, self.pool.spec.pool.branches(number))
        if number > 1 and self._run.later_threads is not None:
            self._computation.change_threads(self._run.later_threads)
        iteration = self._open(number, rotated(units, self._first_branch()), previous)
        pause = since = 0.0
        while True:
            self._interrupts.check()
            snapshot = self._take_snapshot(iteration)
            if snapshot.merged:
                with self._timer.phase("look"):
                    return self._follow(number)
            if iteration.may_decide(snapshot):
                lacked_sources = iteration.lacks_sources
                merged = self._merge(iteration)
                if merged is not None:
                    return merged
                if lacked_sources:  # what is made of them comes before what else is free
                    snapshot = self._take_snapshot(iteration)
            if not snapshot.complete:
                if previous is not None and self.stop_criteria.time_is_up():
                    return None
                if self._compute_units(snapshot, iteration):
                    pause = 0.0
                    continue
            if not pause:
                since = self._clock.monotonic()
            pause = self._wait_for_others(iteration, pause, self._clock.monotonic() - since)

    def _open(self, number: int, units: list[Unit], previous: MergeRecord | None) -> OpenIteration:
        return OpenIteration(self.pool, self._run, number, units, previous, self._clock)

    def _first_branch(self) -> int:
        count = self.pool.spec.pool.count
        return self._random.randrange(count) if self._prefer is None else self._prefer

    def _take_snapshot(self, iteration: OpenIteration) -> IterationSnapshot:
        with self._timer.phase("look"):
            return iteration.take_snapshot()

    # Units: claim, compute, deposit

    def _compute_units(self, snapshot: IterationSnapshot, iteration: OpenIteration) -> bool:
        """Compute the units that can be claimed, until the snapshot is stale.

        Returns:
            Whether any unit was computed.

        Raises:
            PoolrlError: only units are left that this worker failed to compute.
        """
        computed = False
        failed = self._runner.failed
        units = [*snapshot.free, *snapshot.claimed[:MAX_TAKEOVER_TRIES]]
        units = [unit for unit in units if iteration.can_compute(unit, snapshot)]
        # Units that failed here come last: the snapshot may be stale before their turn.
        for unit in sorted(units, key=lambda unit: unit in failed):
            self._interrupts.check()
            if unit in failed:
                if unit in snapshot.claimed and self._claim(unit, iteration, 0):
                    self._claims.release(iteration.layout.lease(unit))  # its last holder is gone
                    self._leave_to_others(unit)
            elif self._claim(unit, iteration, 0):
                self._run_unit(unit, iteration, 0, snapshot.attempts[unit.stem])
                computed = True
            if snapshot.is_stale(self._clock.monotonic()):
                break
        if computed:
            return True
        for unit, copy in iteration.stragglers.stragglers(snapshot)[:MAX_TAKEOVER_TRIES]:
            if unit not in failed and self._claim(unit, iteration, copy):
                log.info(
                    "iteration %d %s: straggler; computing backup copy %d",
                    unit.iteration,
                    unit.stem,
                    copy,
                )
                self._run_unit(unit, iteration, copy, snapshot.attempts[unit.stem])
                return True
        if snapshot.free and not snapshot.claimed and set(snapshot.free) <= failed.keys():
            self._leave_to_others(snapshot.free[0])
        return False

    def _claim(self, unit: Unit, iteration: OpenIteration, copy: int) -> bool:
        """Claim a unit, or a backup copy of it; whether this worker may compute it."""
        lease = iteration.layout.lease(unit, copy)
        with self._timer.phase("claim"):
            # Silent workers are counted only where the pool may be merged without a unit.
            taken_over = self._run.branch_timeout is not None and self._claims.is_marked(lease)
            if not self._claims.claim(lease):
                return False
            if self.pool.store.read_if_there(iteration.layout.record(unit)) is not None:
                self._claims.release(lease)  # deposited since the snapshot
                return False
        if taken_over:
            self._runner.record_silent_worker(unit)
        return True

    def _run_unit(self, unit: Unit, iteration: OpenIteration, copy: int, attempts: int) -> None:
        """Compute and deposit a claimed unit, and release the claim."""
        self._watchdog.report("working", unit.iteration, unit.stem)
        iteration.stragglers.note_own_claim(unit)
        try:
            seconds = self._runner.run(unit, iteration.previous, attempts)
            if seconds is not None and unit.kind == "branch":
                iteration.stragglers.note_duration(seconds)
        finally:
            with self._timer.phase("claim"):
                self._claims.release(iteration.layout.lease(unit, copy))

    def _leave_to_others(self, unit: Unit) -> None:
        """End this worker if all that is left is a unit that it failed to compute, once the others
        have had time to claim it. A new worker may succeed, or abandon the unit.

        Raises:
            PoolrlError: with the reason of the failure.
        """
        reason, since = self._runner.failed[unit]
        if self._clock.monotonic() - since > self.pool.spec.pool.lease_duration / 10:
            raise PoolrlError(f"iteration {unit.iteration} {unit.stem}: {reason}")

    # Barrier and merge

    def _wait_for_others(self, iteration: OpenIteration, pause: float, waited: float) -> float:
        """Wait with a growing back-off, and poll only the merge, or before it the sources.

        Args:
            iteration: the open one.
            pause: result of the last call; 0 at first.
            waited: seconds since the first call.

        Returns:
            The pause to begin the next call with.
        """
        self._watchdog.report("waiting", iteration.number)
        # At most two percent of a unit, or of the wait, so that the barrier costs little and polls
        # are few.
        longest = min(2.0, max(0.02, 0.02 * max(self._runner.longest_unit, waited)))
        pause = min(longest, max(0.002, 1.5 * pause))
        polling = self.pool.spec.pool.lease_duration / 10 if pause == longest else 0.0
        with self._timer.phase("waiting"):
            until = self._clock.monotonic() + polling
            while True:
                self._sleep(pause * self._random.uniform(0.5, 1.0))
                if self._clock.monotonic() >= until:
                    return pause
                if self.pool.store.read_if_there(iteration.layout.merge) is not None:
                    return pause
                if iteration.lacks_sources and self.pool.store.read_if_there(
                    iteration.layout.sources, files.MERGE
                ):
                    return 0.0

    def _sleep(self, seconds: float) -> None:
        with self._interrupts.interruptible():
            self._clock.sleep(seconds)

    def _merge(self, iteration: OpenIteration) -> MergeRecord | None:
        """Merge an iteration; ``None`` if another worker merges it or a deposit is missing."""
        self._watchdog.report("merging", iteration.number)
        with self._timer.phase("merge"):
            if not self._claims.claim(iteration.layout.merge_lease):
                return None
            try:
                if iteration.sources_changed():
                    return None
                least = self._run.min_deposits if self._run.branch_timeout else None
                if iteration.lacks_sources:
                    publish_sources(self.pool, iteration.previous, iteration.units, least)
                    return None
                merged = merge_deposits(
                    self.pool,
                    iteration.previous,
                    iteration.units,
                    self.info,
                    least,
                    self._clock,
                    iteration.sources,
                )
                return self._follow(iteration.number) if merged else None
            finally:
                self._claims.release(iteration.layout.merge_lease)

    def _follow(self, number: int) -> MergeRecord:
        """Read the published merge of an iteration, and drop the state of its units."""
        merged = self._deposit_store.merge(number)
        self._claims.forget()
        self._runner.failed.clear()
        return merged

    # The end of the pool

    def _close(self, last: MergeRecord) -> None:
        """Wait for the closing evaluation, or compute it."""
        closing = Unit(last.iteration, "closing", 0)
        iteration = self._open(last.iteration, [closing], last)
        pause = 0.0
        while True:
            self._interrupts.check()
            snapshot = self._take_snapshot(iteration)
            if snapshot.complete:
                if self._deposit_store.deposit(closing, last.result.sha256) is not None:
                    return
                continue  # it was damaged, and is set aside now
            if not self._compute_units(snapshot, iteration):
                self._watchdog.report("waiting", last.iteration)
                pause = min(0.5, max(0.01, 1.5 * pause))
                with self._timer.phase("waiting"):
                    self._sleep(pause)

    def _no_branch_succeeds(self, last: MergeRecord) -> PoolrlError:
        units = [
            *units_of(last.iteration, self.pool.spec.pool.branches(last.iteration)),
            *second_stage_of(last.iteration, self.pool.spec.merge),
        ]
        deposits = map(self._deposit_store.deposit, units)
        reason = next((d.reason for d in deposits if d is not None and d.reason), last.rule)
        return PoolrlError(
            f"{self.pool.layout.root}: no branch succeeded in the last {last.failed_iterations} "
            f"iterations: {reason}"
        )
