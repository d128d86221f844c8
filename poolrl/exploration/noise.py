"""Noise for actions, correlated in time or not, from one generator an episode."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poolrl.config.exploration import (
    NoiseSpec,
    OrnsteinUhlenbeckSpec,
    PinkSpec,
    UniformSpec,
    WhiteSpec,
)

F64 = NDArray[np.float64]
Ids = NDArray[np.intp]

BLOCK = 128
"""Steps that are drawn at a time, where the kind of noise does not say how many."""


LONGEST = 4096
"""Steps of the longest sequence of coloured noise, whose size bounds its memory."""


class Noise(ABC):
    """Noise of a batch of simulations, in units of half the range of an action.

    A simulation's noise depends on the generator of its episode alone: not on the other
    simulations, their number, or how many steps are drawn at a time.

    Args:
        num_envs: number of simulations.
        size: of an action.
        block: steps that are drawn at a time.
    """

    def __init__(self, num_envs: int, size: int, block: int = BLOCK) -> None:
        self.num_envs, self.size, self._block = num_envs, size, block
        self._values = np.zeros((num_envs, block, size))
        self._position = np.full(num_envs, block)
        self._generators: list[np.random.Generator | None] = [None] * num_envs

    def reset(self, ids: Ids, generators: Sequence[np.random.Generator]) -> None:
        """Start new episodes.

        Args:
            ids: (n,), simulations.
            generators: n of them, the source of all noise of the episode.
        """
        self._position[ids] = self._block
        for i, generator in zip(ids.tolist(), generators, strict=True):
            self._generators[i] = generator
            self._start(i)

    def step(self, ids: Ids | None = None) -> F64:
        """Noise for one step.

        Args:
            ids: simulations; ``None`` for all. Each must have been reset once.

        Returns:
            (num_envs, size); 0 in other simulations.
        """
        rows = np.arange(self.num_envs) if ids is None else ids
        for i in rows[self._position[rows] == self._block].tolist():
            generator = self._generators[i]
            assert generator is not None, "reset() comes first"
            self._values[i] = self._draw(i, generator)
            self._position[i] = 0
        noise = np.zeros((self.num_envs, self.size))
        noise[rows] = self._values[rows, self._position[rows]]
        self._position[rows] += 1
        return noise

    def _start(self, i: int) -> None:  # noqa: B027  (most kinds remember nothing)
        """Forget the episode before, in one simulation."""

    @abstractmethod
    def _draw(self, i: int, generator: np.random.Generator) -> F64:
        """The next (block, size) values of one simulation."""


class WhiteNoise(Noise):
    """Independent normal values of standard deviation ``scale``."""

    def __init__(self, num_envs: int, size: int, *, scale: float = 0.1, block: int = BLOCK) -> None:
        super().__init__(num_envs, size, block)
        self._scale = scale

    def _draw(self, i: int, generator: np.random.Generator) -> F64:
        return self._scale * generator.standard_normal((self._block, self.size))


class UniformNoise(Noise):
    """Independent values, uniform in ±``scale``."""

    def __init__(self, num_envs: int, size: int, *, scale: float = 1.0, block: int = BLOCK) -> None:
        super().__init__(num_envs, size, block)
        self._scale = scale

    def _draw(self, i: int, generator: np.random.Generator) -> F64:
        return generator.uniform(-self._scale, self._scale, (self._block, self.size))


class OrnsteinUhlenbeckNoise(Noise):
    """x ← x − θ·x·dt + scale·√dt·clip(ξ, ±clip), with normal ξ, from x = 0.

    As in DEP-RL's copy of tonic. Its standard deviation tends to scale/√(2θ), and its correlation
    time is 1/θ seconds if dt is the control step's.
    """

    def __init__(
        self,
        num_envs: int,
        size: int,
        *,
        scale: float = 0.1,
        theta: float = 0.15,
        dt: float = 0.01,
        clip: float = 2.0,
        block: int = BLOCK,
    ) -> None:
        super().__init__(num_envs, size, block)
        self._decay, self._gain, self._clip = 1 - theta * dt, scale * np.sqrt(dt), clip
        self._last = np.zeros((num_envs, size))

    def _start(self, i: int) -> None:
        self._last[i] = 0

    def _draw(self, i: int, generator: np.random.Generator) -> F64:
        from scipy.signal import lfilter  # slow to import, so not in every worker

        driving = np.clip(
            generator.standard_normal((self._block, self.size)), -self._clip, self._clip
        )
        values: F64
        values, _ = lfilter(
            [self._gain], [1, -self._decay], driving, axis=0, zi=self._decay * self._last[i : i + 1]
        )
        self._last[i] = values[-1]
        return values


class ColoredNoise(Noise):
    """Normal values with a power spectrum ∝ 1/f^β, of standard deviation ``scale``.

    β = 1 is pink noise (Eberhard et al. 2023, "Pink noise is all you need: Colored noise
    exploration in deep reinforcement learning", ICLR). Made by Timmer & König's method (1995, "On
    generating power law noise", Astron. Astrophys. 300), in sequences of ``steps``, as long as an
    episode; after one of them an independent one begins.

    Args:
        num_envs: number of simulations.
        size: of an action.
        steps: of a sequence, at least 2.
        scale: standard deviation.
        beta: β.
    """

    def __init__(
        self, num_envs: int, size: int, steps: int, *, scale: float = 0.1, beta: float = 1.0
    ) -> None:
        super().__init__(num_envs, size, block=max(2, steps))
        frequency = np.fft.rfftfreq(self._block)
        frequency[0] = 1 / self._block
        self._amplitude = frequency ** (-beta / 2)
        weights = self._amplitude[1:].copy()
        if self._block % 2 == 0:
            weights[-1] /= 2  # the highest frequency has a real part alone
        self._gain = scale * self._block / (2 * np.sqrt(np.square(weights).sum()))

    def _draw(self, i: int, generator: np.random.Generator) -> F64:
        shape = (self.size, len(self._amplitude))
        spectrum: NDArray[Any] = generator.standard_normal(shape).astype(complex)
        spectrum.imag = generator.standard_normal(shape)
        spectrum *= self._amplitude
        alone = [0, -1] if self._block % 2 == 0 else [0]
        spectrum[:, alone] = spectrum[:, alone].real * np.sqrt(2)
        values: F64 = self._gain * np.fft.irfft(spectrum, self._block, axis=1).T
        return values


def make_noise(spec: NoiseSpec, num_envs: int, size: int, steps: int) -> Noise:
    """Make the noise that a section `[exploration]` names.

    Args:
        spec: the section.
        num_envs: number of simulations.
        size: of an action.
        steps: of the longest episode; coloured noise has no longer sequences than ``LONGEST``.
    """
    match spec:
        case WhiteSpec():
            return WhiteNoise(num_envs, size, scale=spec.scale)
        case UniformSpec():
            return UniformNoise(num_envs, size, scale=spec.scale)
        case PinkSpec():
            length = min(steps, LONGEST)
            return ColoredNoise(num_envs, size, length, scale=spec.scale, beta=spec.beta)
        case OrnsteinUhlenbeckSpec():
            return OrnsteinUhlenbeckNoise(
                *(num_envs, size),
                scale=spec.scale,
                theta=spec.theta,
                dt=spec.dt,
                clip=spec.clip,
            )
