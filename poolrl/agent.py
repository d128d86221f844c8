"""An agent ⇄ one safetensors file.

The file is canonical: the same agent gives the same bytes in any process. safetensors writes its
metadata in the order of a hash map, so ours is one key that holds sorted JSON; nothing in it tells
who wrote it, where or when. Reading one runs no code.
"""

from __future__ import annotations

import json
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

from poolrl.config import NetworkSpec, Randomization, World
from poolrl.errors import UsageError
from poolrl.policy.acting import Policy
from poolrl.policy.arrays import check_arrays, expected_shapes
from poolrl.spaces import SpaceSpec

if TYPE_CHECKING:  # acting and training need no torch
    from poolrl.policy.module import PolicyModule

SCHEMA = 1
"""Version of the format of agent files; a reader refuses newer ones."""

METADATA_KEY = "poolrl"

OPTIMIZER_PREFIX = "optimizer/"
"""What the names of an optimiser's arrays begin with."""

Arrays = Mapping[str, NDArray[Any]]


class AgentMetadata(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What stands in the header of an agent file.

    The step counts are those of the agent's own line: of the branches that led to it, and not of
    those that lost.
    """

    schema: int = SCHEMA
    task: str
    task_kwargs: dict[str, Any] = {}
    max_episode_steps: Annotated[int, Meta(ge=1)]
    observation_space: SpaceSpec
    action_space: SpaceSpec
    action_repeat: Annotated[int, Meta(ge=1)] = 1
    mask_velocities: bool = False
    randomize: dict[str, Randomization] = {}
    source_sha256: str = ""
    learner: str
    network: NetworkSpec
    environment_steps: int = 0
    episodes: int = 0
    updates: int = 0

    @property
    def world(self) -> World:
        """What the agent was trained in."""
        return World(
            id=self.task,
            max_episode_steps=self.max_episode_steps,
            kwargs=self.task_kwargs,
            action_repeat=self.action_repeat,
            mask_velocities=self.mask_velocities,
            randomize=self.randomize,
            source_sha256=self.source_sha256,
        )

    def in_world(self, world: World) -> AgentMetadata:
        """The same, of an agent that is in another world from now on."""
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
    """A policy with everything that training needs to go on: a value, never changed in place.

    Attributes:
        arrays: named tensors: networks, normaliser, and under ``optimizer/`` its state.
        metadata: what is needed to use them.
    """

    arrays: Arrays
    metadata: AgentMetadata

    def __post_init__(self) -> None:
        # Files are read in the order of a hash map; whoever walks over the arrays must not see it.
        object.__setattr__(self, "arrays", dict(sorted(self.arrays.items())))

    def to_bytes(self) -> bytes:
        """The agent as a safetensors file."""
        header = json.dumps(
            msgspec.to_builtins(self.metadata), sort_keys=True, separators=(",", ":")
        )
        arrays = {name: np.asarray(array, order="C") for name, array in self.arrays.items()}
        return save_tensors(arrays, metadata={METADATA_KEY: header})

    @classmethod
    def from_bytes(cls, data: bytes, source: str = "agent") -> Agent:
        """Read an agent.

        Raises:
            UsageError: the bytes are truncated, no agent, or of a newer schema; names ``source``.
        """
        try:
            arrays = load_tensors(data)
            size = int.from_bytes(data[:8], "little")
            header = json.loads(data[8 : 8 + size])["__metadata__"][METADATA_KEY]
            table = json.loads(header)
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
            return cls(arrays, msgspec.convert(table, AgentMetadata))
        except msgspec.ValidationError as error:
            raise UsageError(f"{source}: damaged metadata: {error}") from error

    @classmethod
    def load(cls, path: str | Path) -> Agent:
        """Read an agent file.

        Raises:
            UsageError: the file cannot be read or is not an agent's; names the file.
        """
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}") from error
        return cls.from_bytes(data, str(path))

    @property
    def policy_arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays without the optimiser's."""
        return {n: a for n, a in self.arrays.items() if not n.startswith(OPTIMIZER_PREFIX)}

    @cached_property
    def policy(self) -> Policy:
        """The acting side of the agent.

        Raises:
            UsageError: the arrays are not those of the network that the metadata describes.
        """
        metadata = self.metadata
        size = metadata.observation_space.shape[0]
        return Policy(self.arrays, metadata.network, size, metadata.action_space.space())

    def module(self) -> PolicyModule:
        """Actor and critic as a ``torch.nn.Module`` of copies, to go on with in torch.

        Raises:
            UsageError: the arrays are not those of the network that the metadata describes.
        """
        from poolrl.policy.module import PolicyModule

        self.check()
        return PolicyModule(self.policy_arrays, self.metadata.network)

    def check(self) -> None:
        """See that the agent can act and go on training.

        Raises:
            UsageError: names the first array that is missing, strange, misshapen or not finite.
        """
        metadata = self.metadata
        size = metadata.observation_space.shape[0]
        shapes = expected_shapes(metadata.network, size, metadata.action_space.space())
        for name, shape in list(shapes.items()):
            if any(key.startswith(f"{OPTIMIZER_PREFIX}{name}/") for key in self.arrays):
                moments = {"step": (), "exp_avg": shape, "exp_avg_sq": shape}
                shapes |= {f"{OPTIMIZER_PREFIX}{name}/{key}": s for key, s in moments.items()}
        check_arrays(self.arrays, shapes)
        for name, array in self.arrays.items():
            if name not in shapes:
                raise UsageError(f"agent: tensor {name} is none of its network's")
            if not np.isfinite(array).all():
                raise UsageError(f"agent: tensor {name} is not finite")

    def act(
        self,
        observations: NDArray[np.floating],
        *,
        generator: np.random.Generator | None = None,
    ) -> NDArray[np.float32]:
        """Choose actions, as any Gymnasium loop does.

        Args:
            observations: (observation size,) for one, or (n, observation size) for a batch.
            generator: the source of action noise; ``None`` for deterministic actions.

        Returns:
            Actions of shape (action size,) or (n, action size), in the bounds of the action space.

        Raises:
            ValueError: the observations have another size than those that the agent was trained on.
        """
        batch = np.asarray(observations)
        expected = self.metadata.observation_space.shape
        if batch.ndim not in (1, 2) or batch.shape[-1:] != expected:
            raise ValueError(
                f"expected observations of shape (..., {expected[0]}), got {batch.shape}"
            )
        single = batch.ndim == 1
        action: NDArray[np.float32] = self.policy.act(
            batch[None] if single else batch, generator=generator
        ).action
        return action[0] if single else action
