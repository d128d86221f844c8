"""Run a worker in this process."""

from __future__ import annotations

from poolrl.monitoring.history import History
from poolrl.pool.directory import Pool
from poolrl.pool.stop_criteria import StopCriteria
from poolrl.worker.loop import Worker


def work(pool: Pool, iterations: int = 2, **options: object) -> History:
    """Run one worker until an iteration is merged; return the pool's history.

    Args:
        pool: its pool.
        iterations: after which it ends.
        options: of `Worker`.
    """
    Worker(pool, StopCriteria(iterations), **options).run()  # type: ignore[arg-type]
    history = History(pool)
    history.refresh()
    return history
