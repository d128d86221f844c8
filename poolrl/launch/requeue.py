"""What a worker that ``poolrl submit`` has submitted does about the queue as it ends."""

from __future__ import annotations

import logging
import os

from poolrl.errors import PoolrlError, Stopped
from poolrl.job_environment import detect
from poolrl.launch import slurm
from poolrl.storage import store
from poolrl.storage.deposits import iterations_in
from poolrl.storage.layout import Layout
from poolrl.storage.submissions import job_name, submissions

log = logging.getLogger("poolrl.worker")

AT_LIMIT = "POOLRL_AT_LIMIT"
"""The variable by which a batch script says that it is of ``poolrl submit``, and what a worker does
a minute before its time limit: ``requeue``, or ``end`` where another array follows."""

LIMIT_SIGNAL = "SIGUSR1"
"""By which SLURM tells of the time limit; a job that is cancelled or preempted gets SIGTERM."""


class Continuation:
    """Begun with the worker, to tell whether its pool has moved meanwhile.

    Nothing here fails: what cannot be done about the queue is logged, since the pool is well.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._at_limit = os.environ.get(AT_LIMIT)
        self._job = detect().job
        self._begun_at = self._place() if self._at_limit else None

    def stopped(self, stopped: Stopped) -> None:
        """Put the job back into the queue, if it was stopped by its time limit and is of use."""
        if self._at_limit != "requeue" or not self._job or stopped.reason != LIMIT_SIGNAL:
            return
        if self._place() == self._begun_at:
            log.warning("not requeued: the pool has not moved within a whole time limit")
            return
        try:
            slurm.requeue(self._job)
            log.info("requeued as job %s", self._job)
        except PoolrlError as error:
            log.warning("not requeued: %s; submit it again, with --chain if need be", error)

    def ended(self, closed_here: bool) -> None:
        """Cancel what of the submission still waits for its turn, now that the pool is done.

        Args:
            closed_here: whether this worker measured the pool's result. It is the one to do so, and
                else whoever comes when all is done, since that one may have been killed.
        """
        if not self._at_limit or not self._job:
            return
        if not closed_here and self._place() != self._begun_at:
            return
        array = self._job.partition("_")[0]
        try:
            for submission in submissions(self._layout):
                if array in submission.jobs:
                    slurm.cancel(submission.jobs, job_name(self._layout), pending=True)
                    log.info("cancelled what still waited of jobs %s", " ".join(submission.jobs))
        except PoolrlError as error:
            log.warning("what still waits was not cancelled: %s", error)

    def _place(self) -> tuple[int, int]:
        """How far the pool is: its newest iteration, and how many records that has."""
        try:
            newest = max(iterations_in(self._layout), default=-1)
            inside = store.names_in(self._layout.iteration(max(newest, 0)).folder)
        except PoolrlError:
            return -1, 0
        return newest, sum(name.endswith(".json") for name in inside)
