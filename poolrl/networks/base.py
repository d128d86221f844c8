"""Interface between learners and networks.

A learner computes the derivatives of its loss by the distribution's parameters and by the value,
and hands them to the network, which back-propagates them. So an algorithm is written once for all
networks. The parameters of a network are views of one flat vector, and so are their derivatives.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]

State = tuple[F32, ...]
"""Memory of a recurrent network, arrays of shape (n, …); empty for feed-forward networks."""

PARTS = ("policy", "value", "shared")
"""What a parameter belongs to: it affects the policy alone, the value alone, or both."""


class Sequences(NamedTuple):
    """Division of consecutive rows into the sequences that a network with memory runs through.

    Attributes:
        lengths: (s,): number of rows of each sequence, in their order; no episode starts within.
        state: the memory before the first row of each, arrays of shape (s, …).
    """

    lengths: NDArray[np.intp]
    state: State


class Inputs(NamedTuple):
    """Inputs of m rows.

    Attributes:
        observation: (m, observation size), normalised.
        noise: (m, ``noise_size``), the normal numbers that acting used; ``None`` without noise.
        sequences: of networks with memory; ``None`` for the others.
    """

    observation: F32
    noise: F32 | None = None
    sequences: Sequences | None = None


class NetworkOutput(NamedTuple):
    """Outputs of m rows.

    Attributes:
        parameters: (m, number of parameters) of the distribution of actions.
        value: (m,), normalised if the agent's values are.
        penalties: name -> (m,): what the network adds to the loss, by its name.
    """

    parameters: F32
    value: F32
    penalties: Mapping[str, F32] = {}


class Network(ABC):
    """Actor and critic over shared arrays, which are not copied.

    Attributes:
        noise_size: standard normal numbers that each row takes; they are 0 for deterministic
            actions.
        penalty_names: of ``NetworkOutput.penalties``.
        runs_again: whether a learner may run a whole rollout again after its last gradient step,
            for metrics. Otherwise they are those before it: a single step of a large network takes
            hardly three times as long.
        value_head: names of weight and bias of the linear layer that computes the value; ``None``
            if there is none.
    """

    noise_size: int = 0
    penalty_names: tuple[str, ...] = ()
    runs_again: bool = True
    value_head: tuple[str, str] | None = None

    @property
    def has_memory(self) -> bool:
        """Whether the network carries a state from step to step."""
        return bool(self.initial_state(1))

    def changed(self) -> None:  # noqa: B027 (most networks keep nothing)
        """Called when parameters have changed: what a network keeps that follows from them is no
        longer right."""

    def initial_state(self, n: int) -> State:
        """The memory at the start of n episodes; empty for feed-forward networks."""
        return ()

    @abstractmethod
    def act(self, observation: F32, state: State, noise: F32 | None = None) -> tuple[F32, State]:
        """Parameters of the distribution for one step.

        Args:
            observation: (n, observation size), normalised.
            state: the memory before this step, that of ``initial_state`` where an episode starts.
            noise: (n, ``noise_size``); ``None`` for zeros.

        Returns:
            (n, number of parameters), and the memory after this step. A network whose critic has a
            memory of its own may leave that one as it is.
        """

    @abstractmethod
    def step(
        self, observation: F32, state: State, noise: F32 | None = None
    ) -> tuple[NetworkOutput, State]:
        """As ``act``, with the value, and with the whole memory after this step."""

    @abstractmethod
    def forward(self, inputs: Inputs) -> NetworkOutput:
        """Outputs of a batch, kept for ``backward``."""

    @abstractmethod
    def backward(
        self,
        by_parameters: F32 | None = None,
        by_value: F32 | None = None,
        by_penalties: Mapping[str, F32] | None = None,
    ) -> None:
        """Back-propagate to the parameters, after ``forward`` and before they change.

        The derivatives overwrite the flat gradient; what is not reached is set to zero. May be
        called twice after one ``forward``, the first time with ``by_parameters``.

        Args:
            by_parameters: (m, number of parameters): derivative of the loss by the distribution's
                parameters; ``None`` for zeros.
            by_value: (m,): derivative of the loss by the values; ``None`` for zeros.
            by_penalties: name -> (m,): derivative of the loss by the penalties.
        """

    def latents(self, observation: F32) -> dict[str, F32]:
        """What a bottleneck computes without noise, (n, latent variables) by name; nothing of a
        network without one.

        Args:
            observation: (n, observation size), normalised.
        """
        return {}

    def values(self, observation: F32, state: State, noise: F32 | None = None) -> F32:
        """The values alone, shape (n,); arguments as for ``act``."""
        return self.step(observation, state, noise)[0].value


def reset_state(state: State, initial: State, episode_start: NDArray[np.bool_]) -> State:
    """The memory with that of ``initial`` where an episode starts.

    Args:
        state, initial: arrays of shape (n, …).
        episode_start: (n,).
    """
    if not state or not episode_start.any():
        return state
    if episode_start.all():
        return initial
    return tuple(
        np.where(episode_start.reshape(-1, *[1] * (old.ndim - 1)), new, old)
        for old, new in zip(state, initial, strict=True)
    )


def part_of(name: str) -> str:
    """The part, one of ``PARTS``, that a parameter belongs to by its name."""
    return {"actor": "policy", "critic": "value"}.get(name.partition(".")[0], "shared")
