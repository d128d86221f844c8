"""The decoder of a trained agent, which turns latent variables into actions in another task."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poolrl.agent import Agent
from poolrl.config.networks import EncoderDecoderSpec
from poolrl.errors import UsageError
from poolrl.networks.base import State, reset_state
from poolrl.networks.decoder import Decoder
from poolrl.networks.encoder_decoder import decoder_columns
from poolrl.networks.normalizer import DoubleNormalizer, Normalizer


class FrozenDecoder:
    """Decoder and normaliser of an agent, as they are; nothing here is trained.

    Tasks whose actions are latent variables play its mean actions, as the virtual rodent's do
    (Merel et al. 2019; Aldarondo et al. 2024).

    Args:
        agent: with an encoder and a decoder.
        source: name of its file, for errors.

    Attributes:
        world: that the agent was trained in.
        latent_size: number of latent variables.
        columns: (s,): numbers of the values that the decoder sees, among those that the agent
            observes.
        action_size: number of values of an action.

    Raises:
        UsageError: the agent has no such decoder.
    """

    def __init__(self, agent: Agent, source: str = "agent") -> None:
        spec = agent.metadata.network
        if not isinstance(spec, EncoderDecoderSpec) or spec.bottleneck == "none":
            raise UsageError(
                f"{source}: its network has no decoder of latent variables; that of "
                "network.name = encoder_decoder has one"
            )
        self.world = agent.metadata.world
        self.latent_size = spec.latent_size
        self.columns = decoder_columns(spec, agent.metadata.observation_space.shape[0])
        (self.action_size,) = agent.metadata.action_space.shape
        self._decoder = Decoder(agent.arrays, spec)
        self._distribution = agent.policy.distribution
        self._free = agent.arrays.get("actor.free", np.zeros(0, np.float32))
        self._normalizer: Normalizer | DoubleNormalizer | None = None
        if spec.normalize_observations:
            own = {
                f"normalizer.{name}": agent.arrays[f"normalizer.{name}"][self.columns]
                for name in ("mean", "var")
            }
            is_double = spec.normalizer_precision == "double"
            self._normalizer = DoubleNormalizer(own) if is_double else Normalizer(own)

    @classmethod
    def load(cls, path: str | Path) -> FrozenDecoder:
        """Read that of an agent file.

        Raises:
            UsageError: the file is not an agent's, or the agent has no such decoder; names the
                file.
        """
        return cls(Agent.load(path), str(path))

    def initial_state(self, n: int) -> State:
        """The memory at the start of n episodes, arrays of shape (n, …); empty without one."""
        return self._decoder.initial_state(n)

    def act(
        self,
        latent: NDArray[np.floating],
        senses: NDArray[np.floating],
        state: State,
        episode_start: NDArray[np.bool_] | None = None,
    ) -> tuple[NDArray[np.float32], State]:
        """Mean actions of one step.

        Args:
            latent: (n, ``latent_size``).
            senses: (n, s), the values of ``columns``, not normalised.
            state: the memory that the previous call returned; not changed.
            episode_start: (n,): where an episode starts, and the memory is reset.

        Returns:
            (n, ``action_size``), within the bounds of the agent's actions, and the new memory.

        Raises:
            ValueError: latent variables or senses are of another size.
        """
        for name, array, size in (
            ("latent variables", latent, self.latent_size),
            ("senses", senses, len(self.columns)),
        ):
            if array.ndim != 2 or array.shape[1] != size:
                raise ValueError(f"expected {name} of shape (n, {size}), got {array.shape}")
        if episode_start is not None:
            state = reset_state(state, self.initial_state(len(latent)), episode_start)
        own = senses.astype(np.float32) if self._normalizer is None else self._normalizer(senses)
        x = np.concatenate((latent.astype(np.float32), own), axis=1)
        outputs, after = self._decoder.step(x, state)
        free = np.broadcast_to(self._free, (len(x), len(self._free)))
        action = self._distribution.mode(np.concatenate((outputs, free), axis=1))
        return action.astype(np.float32, copy=False), after
