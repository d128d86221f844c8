"""Bottleneck between an encoder and a decoder: latent variables, with noise or without."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from poolrl.config.networks import EncoderDecoderSpec
from poolrl.networks.mlp import MLP, Cache

F32 = NDArray[np.float32]

LOG_STD_SCALE = np.float32(3.0)
"""Factor of the outputs of tanh that are log σ: σ is within e^±3 (Aldarondo et al. 2024)."""

KL = "kl"
"""Name of the penalty."""


class Bottleneck:
    """A linear layer with tanh, and what makes latent variables z of its outputs.

    Variational (Kingma & Welling 2014): z = μ + σξ, where the outputs are μ and log σ / 3; the
    divergence from a standard normal distribution, per variable, is the penalty. Otherwise the
    outputs are z, or z without its noise.

    Args:
        arrays: contain ``actor.bottleneck.weight`` and ``….bias``; not copied.
        spec: architecture.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]], spec: EncoderDecoderSpec) -> None:
        self._layer = MLP(
            *(arrays, "actor", 1, "tanh"), activate_last=True, layer_names=("bottleneck",)
        )
        self._size, self._is_variational = spec.latent_size, spec.bottleneck == "variational"
        self._is_noisy = spec.bottleneck == "noisy"
        self._noise_scale = np.float32(spec.noise_scale)

    def __call__(self, x: F32, noise: F32 | None) -> F32:
        """Latent variables (n, z) of the encoder's features (n, width).

        Args:
            x: features.
            noise: ξ, (n, z); ``None`` for zeros.
        """
        return self._latent(self._layer(x), noise)

    def forward(self, x: F32, noise: F32 | None) -> BottleneckOutput:
        """As a call, with what ``backward`` needs."""
        outputs, cache = self._layer.forward_with_cache(x)
        penalties: dict[str, F32] = {}
        if self._is_variational:
            mean, log_std = self._moments(outputs)
            terms = np.square(mean)
            terms += np.exp(2 * log_std)
            terms -= 1
            terms *= np.float32(0.5)
            terms -= log_std
            penalties[KL] = terms.mean(axis=1)
        return BottleneckOutput(self._latent(outputs, noise), penalties, cache, noise)

    def backward(
        self,
        output: BottleneckOutput,
        by_latent: F32,
        by_penalties: Mapping[str, F32],
        gradient: Mapping[str, F32],
    ) -> F32:
        """Derivative of the loss by the features.

        Args:
            output: of ``forward``.
            by_latent: (m, z): derivative by the latent variables.
            by_penalties: name -> (m,): derivative by the penalties.
            gradient: arrays that receive the derivatives by the parameters.
        """
        by_outputs = by_latent.copy()
        if self._is_variational:
            mean, log_std = self._moments(output.cache.inputs[-1])
            std = np.exp(log_std)
            by_log_std = np.zeros_like(std)
            if output.noise is not None:
                np.multiply(by_latent, std, out=by_log_std)
                by_log_std *= output.noise
            if KL in by_penalties:
                by_kl = by_penalties[KL][:, None] / np.float32(self._size)
                by_outputs += by_kl * mean
                by_log_std += by_kl * (np.square(std) - 1)
            by_log_std *= LOG_STD_SCALE
            by_outputs = np.concatenate((by_outputs, by_log_std), axis=1)
        by_features = self._layer.backward(output.cache, by_outputs, gradient, to_input=True)
        assert by_features is not None
        return by_features

    def activations(self, x: F32, noise: F32 | None) -> dict[str, F32]:
        """What is computed of features, (n, …) by name: ``mu``, ``sigma`` and ``latent``; with
        noise alone ``signal`` and ``corrupted_signal``; otherwise ``latent``."""
        outputs = self._layer(x)
        latent = self._latent(outputs, noise)
        if self._is_variational:
            mean, log_std = self._moments(outputs)
            return {"mu": mean, "sigma": np.exp(log_std), "latent": latent}
        if self._is_noisy:
            return {"signal": outputs, "corrupted_signal": latent}
        return {"latent": latent}

    def _moments(self, outputs: F32) -> tuple[F32, F32]:
        """Mean and log σ, both (n, z)."""
        return outputs[:, : self._size], outputs[:, self._size :] * LOG_STD_SCALE

    def _latent(self, outputs: F32, noise: F32 | None) -> F32:
        if self._is_variational:
            mean, log_std = self._moments(outputs)
            if noise is None:
                return mean
            std = np.exp(log_std, out=log_std)
            std *= noise
            std += mean
            return std
        if noise is None or not self._is_noisy:
            return outputs
        return outputs + self._noise_scale * noise


class BottleneckOutput(NamedTuple):
    """Output of a batch.

    Attributes:
        latent: (m, z).
        penalties: name -> (m,).
        cache: of the linear layer.
        noise: (m, z), or ``None``.
    """

    latent: F32
    penalties: dict[str, F32]
    cache: Cache
    noise: F32 | None
