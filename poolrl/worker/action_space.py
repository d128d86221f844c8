"""The action space of a pool's agents, which an earlier version may have recorded otherwise."""

from __future__ import annotations

from gymnasium.spaces import Box

from poolrl.agent import Agent
from poolrl.errors import PoolrlError
from poolrl.pool.directory import Pool
from poolrl.spaces import SpaceSpec
from poolrl.tasks import Task


def agents_action_space(task: Task, pool: Pool | None) -> SpaceSpec:
    """The action space of a pool's agents: that of its champion, if an earlier version recorded it
    for what is the task's now; else the task's.

    Args:
        task: of the pool.
        pool: that exists already; ``None`` if it is to be made.
    """
    space = SpaceSpec.of_actions(task.action_space)
    box = space.space()
    if pool is None or not isinstance(box, Box) or box.is_bounded():
        return space  # every version records it like this
    deposit_store = pool.deposit_store()
    try:
        merged = deposit_store.newest_merge()
        if merged is None:
            return space
        recorded = Agent.from_bytes(deposit_store.champion(merged.champion)).metadata.action_space
    except PoolrlError:  # who needs the champion says what is wrong with it
        return space
    return recorded if recorded.is_earlier_form_of(space) else space
