"""Follow a pool: a video of its champion every so many iterations."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from poolrl.errors import Divergence
from poolrl.pool.directory import Pool, open_pool
from poolrl.records.work_units import Unit
from poolrl.render.agents import ShownAgent, champion

log = logging.getLogger("poolrl.render")

POLL_SECONDS = 2.0
"""Interval at which the pool's folder is listed while no video is due."""


def follow(
    pool: Pool,
    every: int,
    render: Callable[[ShownAgent, Path], None],
    *,
    sleep: Callable[[float], object],
    is_over: Callable[[], bool],
) -> None:
    """Make a video of each champion whose iteration is a multiple of ``every``; of several that are
    due, the newest one alone. Videos that are there are not made again.

    Args:
        pool: the pool.
        every: number of iterations.
        render: makes the video of an agent.
        sleep: waits for a number of seconds.
        is_over: whether the pool has ended; what is due then is still made.

    Raises:
        UsageError: the pool is no longer there.
        PoolrlError: a champion cannot be read, or a video cannot be made.
    """
    store, layout = pool.deposit_store(), pool.layout
    done = -1
    while True:
        over = is_over()  # before the newest merge is read, so that none comes in between
        newest = store.newest_merge()
        due = -1 if newest is None else newest.iteration - newest.iteration % every
        if due > done and layout.video(due).name not in pool.store.names_in(layout.videos):
            pool.store.make_folder(layout.videos)
            try:
                render(champion(pool, store, due), layout.video(due))
            except Divergence as error:  # on this episode; the next champion may do better
                log.warning("iteration %d: no video: %s", due, error)
        elif over:
            return
        else:
            sleep(POLL_SECONDS)
            open_pool(layout.root, pool.store)  # is it still there?
        done = max(done, due)


def has_ended(pool: Pool) -> bool:
    """Whether a pool's last champion has got its closing evaluation."""
    store = pool.deposit_store()
    newest = store.newest_merge()
    if newest is None:
        return False
    return store.record(Unit(newest.iteration, "closing", 0)) is not None
