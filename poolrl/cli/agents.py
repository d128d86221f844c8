"""The world of an agent that a command plays, as its options change and permit it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from poolrl.agent import Agent
    from poolrl.config.schema import World


@contextmanager
def permitted_world(
    agent: Agent,
    task_id: str | None,
    arguments: Mapping[str, Any],
    network: str | None,
    *,
    trust: bool,
) -> Iterator[World]:
    """Yield the agent's world with other arguments, where the user's code that both name may run.

    What goes wrong inside is named as that code's where it is (``poolrl.trusted_code``).

    Args:
        agent: the agent.
        task_id: ``--task``, a user's own task.
        arguments: ``--task-arg``.
        network: ``--network``, a user's own network.
        trust: ``--trust``.

    Raises:
        UsageError: the code was not named, or is another one, or cannot be loaded; or it failed.
        IncompatiblePool: a file has another SHA-256 than was recorded.
    """
    from msgspec.structs import replace

    from poolrl import tasks
    from poolrl.networks import permissions

    world = agent.metadata.world
    given = tasks.with_absolute_paths(dict(arguments), world.id)
    kwargs = tasks.with_absolute_paths(world.kwargs) | given
    world = tasks.permit(replace(world, kwargs=kwargs), task_id, trust=trust)
    permissions.permit(agent.metadata.network, network, trust=trust)
    with tasks.blamed(world), permissions.blamed(agent.metadata.network):
        yield world
