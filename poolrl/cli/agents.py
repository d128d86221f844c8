"""The world of an agent that a command plays, as its options change and permit it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from poolrl.agent import Agent
    from poolrl.config.schema import World


def permitted_world(
    agent: Agent,
    task_id: str | None,
    arguments: dict[str, Any],
    network: str | None,
    *,
    trust: bool,
) -> World:
    """Return the agent's world with other arguments, and permit the user's code that both name.

    Args:
        agent: the agent.
        task_id: ``--task``, a user's own task.
        arguments: ``--task-arg``.
        network: ``--network``, a user's own network.
        trust: ``--trust``.

    Raises:
        UsageError: the code was not named, or is another one, or cannot be loaded.
        IncompatiblePool: a file has another SHA-256 than was recorded.
    """
    from msgspec.structs import replace

    from poolrl import tasks
    from poolrl.networks import permissions

    world = agent.metadata.world
    given = tasks.with_absolute_paths(arguments, world.id)
    kwargs = tasks.with_absolute_paths(world.kwargs) | given
    world = tasks.permit(replace(world, kwargs=kwargs), task_id, trust=trust)
    permissions.permit(agent.metadata.network, network, trust=trust)
    return world
