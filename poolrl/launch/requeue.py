"""Requeueing and cancellation of SLURM jobs by a worker of ``poolrl submit`` that ends."""

from __future__ import annotations

import logging
import os

from poolrl.errors import PoolrlError, Stopped
from poolrl.job_environment import detect
from poolrl.launch import slurm
from poolrl.storage.deposits import iterations_in
from poolrl.storage.layout import Layout
from poolrl.storage.store import Store
from poolrl.storage.submissions import job_name, submissions

log = logging.getLogger("poolrl.worker")

AT_LIMIT = "POOLRL_AT_LIMIT"
"""Environment variable that the batch script of ``poolrl submit`` sets: what a worker does a minute
before its time limit, ``requeue``, or ``end`` where another array follows."""

LIMIT_SIGNAL = "SIGUSR1"
"""The signal at the time limit; a job that is cancelled or preempted gets SIGTERM."""


class SlurmRequeue:
    """Requeue this worker's job at its time limit, or cancel the pending jobs of a finished pool.

    Create it when the worker starts: it compares the pool's progress with that at its creation. Its
    methods raise nothing; a failure of SLURM is logged, since the pool is not affected.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._layout = Layout(store.root)
        self._at_limit = os.environ.get(AT_LIMIT)
        self._job = detect().job
        self._initial_progress = self._progress() if self._at_limit else None

    def on_stopped(self, stopped: Stopped) -> None:
        """Requeue the job, if its time limit stopped it and the pool has made progress since."""
        if self._at_limit != "requeue" or not self._job or stopped.reason != LIMIT_SIGNAL:
            return
        if self._progress() == self._initial_progress:
            log.warning("not requeued: the pool has not moved within a whole time limit")
            return
        try:
            slurm.requeue(self._job)
            log.info("requeued as job %s", self._job)
        except PoolrlError as error:
            log.warning("not requeued: %s; submit it again, with --chain if need be", error)

    def on_pool_end(self, closed_here: bool) -> None:
        """Cancel the pending jobs of this worker's submission, now that the pool is finished.

        Args:
            closed_here: whether this worker computed the closing evaluation. That worker cancels;
                it may have been killed, so a worker that finds the pool finished does too.
        """
        if not self._at_limit or not self._job:
            return
        if not closed_here and self._progress() != self._initial_progress:
            return
        array = self._job.partition("_")[0]
        try:
            for submission in submissions(self._store):
                if array in submission.jobs:
                    slurm.cancel(submission.jobs, job_name(self._layout), pending=True)
                    log.info("cancelled what still waited of jobs %s", " ".join(submission.jobs))
        except PoolrlError as error:
            log.warning("what still waits was not cancelled: %s", error)

    def _progress(self) -> tuple[int, int]:
        """The pool's newest iteration, and the number of records in it."""
        try:
            newest = max(iterations_in(self._store, self._layout), default=-1)
            inside = self._store.names_in(self._layout.iteration(max(newest, 0)).folder)
        except PoolrlError:
            return -1, 0
        return newest, sum(name.endswith(".json") for name in inside)
