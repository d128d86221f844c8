"""The worker: where learning and the pool meet."""

from poolrl.pool.worker.loop import Worker

__all__ = ["Worker"]
