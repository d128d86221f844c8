"""An agent ⇄ one safetensors file.

The file is canonical: the same agent gives the same bytes in any process. safetensors writes its
metadata in the order of a hash map, so ours is one key with sorted JSON. It contains no host, path
or time. Reading a file runs no code.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from poolrl import files
from poolrl.config import networks, tables
from poolrl.config.networks import MLPSpec, ModuleSpec, NetworkSpec, QMLPSpec
from poolrl.config.schema import Randomization, World
from poolrl.config.types import Natural, Text
from poolrl.errors import UsageError
from poolrl.extras import require
from poolrl.networks.base import State
from poolrl.networks.parameters import (
    EXPLORATION_PREFIX,
    LEARNER_PREFIX,
    actor_columns,
    check_arrays,
    expected_shapes,
    exploration_shapes,
    has_normalized_values,
)
from poolrl.networks.policy import Policy
from poolrl.own_actions import ActionConverter, OwnActions
from poolrl.spaces import SpaceSpec

if TYPE_CHECKING:  # acting and training need no torch
    from poolrl.networks.torch_module import PolicyModule, RecurrentPolicyModule

SCHEMA = 1
"""Version of the format of agent files; a reader refuses newer ones."""

METADATA_KEY = "poolrl"

MAX_HEADER = 2**24
"""Maximum size of a header in bytes; the bounds of the largest space take a third of it."""

OPTIMIZER_PREFIX = "optimizer/"
"""Prefix of the names of an optimiser's arrays."""

_FIRST_KEYS = ("actor", "critic", "activation", "distribution", "normalize_observations")
"""Keys of a perceptron that the first agents had; later ones are left out of a header if they have
the default, so that the bytes of these agents stay."""

LEARNER_STATE = tuple(
    f"{LEARNER_PREFIX}{name}"
    for name in (
        *("learning_rate", "std", "return_mean", "return_var", "return_count", "reward_min"),
        *("reward_max", "energy_weight", "energy_rate", "energy_success", "energy_score"),
    )
)
"""Names of the running state that learners may keep in an agent."""

STD = f"{LEARNER_PREFIX}std"
"""The standard deviation of actions that falls by a schedule."""

_NEVER_NEGATIVE = (
    *("normalizer.var", "normalizer.count", "/step", "/exp_avg_sq"),
    *("/learning_rate", "/std", "/return_var", "/return_count"),
    *("/energy_weight", "/energy_rate", "/energy_success"),
)

Arrays = Mapping[str, NDArray[Any]]


class AgentMetadata(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Metadata in the header of an agent file.

    ``own_actions`` describes the environment's own action space, where the policy's actions are not
    of it as they are; ``None`` there, and in agents of pools without ``task.exact_spaces``.

    Its counts of steps, episodes and updates are of the agent's own lineage: of the branches that
    led to it, without those that lost.
    """

    schema: int = SCHEMA
    task: Text
    task_kwargs: dict[str, Any] = {}
    max_episode_steps: Annotated[int, Meta(ge=1, le=10**9)]
    observation_space: SpaceSpec
    action_space: SpaceSpec
    own_actions: OwnActions | None = None
    action_repeat: Annotated[int, Meta(ge=1, le=10_000)] = 1
    mask_velocities: bool = False
    randomize: dict[str, Randomization] = {}
    source_sha256: Text = ""
    learner: Text
    network: NetworkSpec
    environment_steps: Natural = 0
    episodes: Natural = 0
    updates: Natural = 0

    def __post_init__(self) -> None:
        if len(self.observation_space.shape) != 1 or self.observation_space.choices is not None:
            raise ValueError("observations must be a box of one dimension")
        tables.check_plain(self.task_kwargs)
        own = self.own_actions
        if own is not None and (
            own.is_box != (self.action_space.choices is None)
            or own.size != math.prod(self.action_space.shape)
        ):
            raise ValueError("the own actions are not those of the action space")

    @property
    def world(self) -> World:
        """The world that the agent was trained in."""
        return World(
            id=self.task,
            max_episode_steps=self.max_episode_steps,
            kwargs=self.task_kwargs,
            action_repeat=self.action_repeat,
            mask_velocities=self.mask_velocities,
            randomize=self.randomize,
            exact_spaces=self.own_actions is not None,
            source_sha256=self.source_sha256,
        )

    def in_world(self, world: World) -> AgentMetadata:
        """A copy with another world."""
        return msgspec.structs.replace(
            self,
            task=world.id,
            max_episode_steps=world.max_episode_steps,
            task_kwargs=world.kwargs,
            action_repeat=world.action_repeat,
            mask_velocities=world.mask_velocities,
            randomize=world.randomize,
            source_sha256=world.source_sha256,
        )


@dataclass(frozen=True)
class Agent:
    """A policy with the state that further training needs; immutable.

    Attributes:
        arrays: named tensors, sorted by name: networks, normaliser, and under ``optimizer/``,
            ``learner/`` and ``exploration/`` the state of each.
        metadata: spaces, world, architecture and counts.
    """

    arrays: Arrays
    metadata: AgentMetadata

    def __post_init__(self) -> None:
        # Files are read in the order of a hash map, which would change the order of computation.
        object.__setattr__(self, "arrays", dict(sorted(self.arrays.items())))

    def to_bytes(self) -> bytes:
        """Serialise the agent as a safetensors file; the same agent gives the same bytes."""
        table = msgspec.to_builtins(self.metadata)
        network, default = table["network"], msgspec.to_builtins(MLPSpec())
        if network["name"] == default["name"]:
            for name in network.keys() - _FIRST_KEYS:
                if network[name] == default[name]:
                    del network[name]
        if self.metadata.own_actions is None:
            del table["own_actions"]
        header = json.dumps(table, sort_keys=True, separators=(",", ":"))
        arrays = {name: np.asarray(array, order="C") for name, array in self.arrays.items()}
        return save_tensors(arrays, metadata={METADATA_KEY: header})

    @classmethod
    def from_bytes(cls, data: bytes, source: str = "agent") -> Agent:
        """Parse and check an agent file.

        Args:
            data: content of the file.
            source: its name, for errors.

        Raises:
            UsageError: the bytes are truncated, not an agent or of a newer schema, or the arrays do
                not match the network; names ``source``.
        """
        try:
            header = _header(data)
            arrays = load_tensors(data)
            text = header["__metadata__"][METADATA_KEY]
            table = json.loads(text, object_pairs_hook=_without_duplicates)
        except SafetensorError as error:
            raise UsageError(f"{source}: not an agent file, or a damaged one: {error}") from error
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise UsageError(f"{source}: a safetensors file, but not an agent's") from error
        schema = table.get("schema") if isinstance(table, dict) else None
        if isinstance(schema, int) and schema > SCHEMA:
            raise UsageError(
                f"{source}: schema {schema} is newer than this version of poolrl reads ({SCHEMA})"
            )
        try:
            if isinstance(table, dict):
                networks.complete(table.get("network"))
            agent = cls(arrays, msgspec.convert(table, AgentMetadata))
            agent.check()
        except (msgspec.ValidationError, UnicodeError, RecursionError) as error:
            raise UsageError(f"{source}: damaged metadata: {error}") from error
        except UsageError as error:
            raise UsageError(f"{source}: {str(error).removeprefix('agent: ')}") from error
        return agent

    @classmethod
    def load(cls, path: str | Path) -> Agent:
        """Read an agent file.

        Raises:
            UsageError: the file cannot be read, or is not an agent file; names the file.
        """
        try:
            data = files.read_plain(path, files.AGENT)
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}") from error
        except files.NotAPlainFile as error:
            raise UsageError(f"{path}: {error}") from error
        return cls.from_bytes(data, str(path))

    @property
    def policy_arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays of networks and normaliser alone."""
        state = (OPTIMIZER_PREFIX, LEARNER_PREFIX, EXPLORATION_PREFIX)
        return {n: a for n, a in self.arrays.items() if not n.startswith(state)}

    @property
    def learner_state(self) -> dict[str, NDArray[Any]]:
        """The running state of the learner: float64 arrays of shape ()."""
        return {n: a for n, a in self.arrays.items() if n.startswith(LEARNER_PREFIX)}

    @cached_property
    def policy(self) -> Policy:
        """Actor, critic and distribution over the agent's arrays.

        Raises:
            UsageError: the arrays do not match the network in the metadata.
        """
        metadata = self.metadata
        size = metadata.observation_space.shape[0]
        actions = metadata.action_space.space()
        return Policy(self.arrays, metadata.network, size, actions, std=self.arrays.get(STD))

    def module(self) -> PolicyModule | RecurrentPolicyModule:
        """A ``torch.nn.Module`` with copies of the arrays; with a memory, it takes and returns it.

        Raises:
            UsageError: the arrays or the network do not allow it, or torch is not installed.
        """
        require("torch", "torch", "module() needs torch")
        from poolrl.networks.torch_module import policy_module

        self.check()
        network = self.metadata.network
        if isinstance(network, ModuleSpec):
            raise UsageError("agent: its network is a user's own module already")
        if isinstance(network, QMLPSpec):
            raise UsageError("agent: a critic of actions has no value for module() to return")
        return policy_module(self.policy_arrays, network)

    def check(self) -> None:
        """Check that the agent can act and be trained further.

        Raises:
            UsageError: names the first array that is missing, unknown, of a wrong shape or type,
                not finite, or negative where it must not be.
        """
        metadata = self.metadata
        shapes = expected_shapes(
            *(metadata.network, metadata.observation_space.shape[0], metadata.action_space.space()),
            normalized_values=has_normalized_values(self.arrays),
        )
        for name, shape in list(shapes.items()):
            if any(key.startswith(f"{OPTIMIZER_PREFIX}{name}/") for key in self.arrays):
                moments = {"step": (), "exp_avg": shape, "exp_avg_sq": shape}
                shapes |= {f"{OPTIMIZER_PREFIX}{name}/{key}": s for key, s in moments.items()}
        shapes |= {name: () for name in self.learner_state if name in LEARNER_STATE}
        if metadata.network.std == "schedule":
            shapes[STD] = ()
        shapes |= exploration_shapes(self.arrays, metadata.action_space.shape)
        check_arrays(self.arrays, shapes, metadata.network)
        for name, array in self.arrays.items():
            if name not in shapes:
                raise UsageError(f"agent: tensor {name} is none of its network's")
            if not np.isfinite(array).all():
                raise UsageError(f"agent: tensor {name} is not finite")
            if name.endswith(_NEVER_NEGATIVE) and (array < 0).any():
                raise UsageError(f"agent: tensor {name} is negative")

    def act(
        self,
        observations: NDArray[np.floating],
        *,
        generator: np.random.Generator | None = None,
    ) -> NDArray[Any]:
        """Choose actions, for use in any Gymnasium loop.

        Args:
            observations: (observation size,) for one, as ``gymnasium.spaces.flatten`` makes it, or
                (n, observation size) for a batch; with or without what the critic alone sees.
            generator: source of action noise; ``None`` for deterministic actions.

        Returns:
            An action, or n of them, of the environment's own action space: its shape, type, bounds
            and start. Of agents without ``own_actions``, arrays of shape (action size,) or (n,
            action size), within the bounds of ``action_space``.

        Raises:
            ValueError: the observations are not of the size that the agent was trained on, or the
                agent has a memory, which ``step`` takes along.
        """
        if self.policy.network.has_memory:
            raise ValueError("this agent has a memory: use step(observations, state, …)")
        return self.step(observations, generator=generator)[0]

    def step(
        self,
        observations: NDArray[np.floating],
        state: State = (),
        episode_start: NDArray[np.bool_] | bool = False,
        *,
        generator: np.random.Generator | None = None,
    ) -> tuple[NDArray[Any], State]:
        """Choose actions, with the memory of a recurrent network.

        Args:
            observations: (observation size,) for one, or (n, observation size) for a batch;
                without what the critic alone sees, or with it.
            state: the memory that the previous call returned; empty at first.
            episode_start: (n,), or one for all: where an episode starts, and the memory is reset.
            generator: source of action noise; ``None`` for deterministic actions.

        Returns:
            Actions as of ``act``, and the memory for the next call, arrays of shape (n, …).

        Raises:
            ValueError: the observations are not of the size that the agent was trained on.
        """
        batch = np.asarray(observations)
        (size,) = self.metadata.observation_space.shape
        seen = actor_columns(self.metadata.network, size)
        sizes = {size} if seen is None else {size, len(seen)}
        if batch.ndim not in (1, 2) or batch.shape[-1] not in sizes:
            expected = " or ".join(map(str, sorted(sizes)))
            raise ValueError(f"expected observations of shape (..., {expected}), got {batch.shape}")
        if single := batch.ndim == 1:
            batch = batch[None]
        if seen is not None and batch.shape[1] == len(seen):
            whole = np.zeros((len(batch), size), batch.dtype)
            whole[:, seen] = batch
            batch = whole
        starts = np.broadcast_to(np.asarray(episode_start, np.bool_), len(batch))
        output = self.policy.act(batch, state, starts, generator)
        action = output.action
        if self._own_actions is not None:
            action = self._own_actions(action)
        if not single:
            return action, output.state
        # A box without dimensions has arrays; a single choice is a scalar, as Gymnasium draws it.
        first: NDArray[Any] = action[0] if action.dtype.kind in "iu" else action[0, ...]
        return first, output.state

    @cached_property
    def _own_actions(self) -> ActionConverter | None:
        own = self.metadata.own_actions
        return None if own is None else ActionConverter(own)


def _header(data: bytes) -> Any:
    """Parse the header of a safetensors file; the library checks the offsets.

    Raises:
        SafetensorError: it is longer than ``MAX_HEADER``.
        ValueError: it is not JSON, or has a duplicate key.
    """
    size = int.from_bytes(data[:8], "little")
    if size > MAX_HEADER:
        raise SafetensorError(f"a header of {size:,} bytes")
    return json.loads(data[8 : 8 + size], object_pairs_hook=_without_duplicates)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        raise ValueError("duplicate key in a header")
    return table
