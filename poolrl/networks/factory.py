"""Selection of the network for a specification."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poolrl.config.networks import (
    EncoderDecoderSpec,
    ModuleSpec,
    NetworkSpec,
    QMLPSpec,
    RecurrentSpec,
)
from poolrl.networks.actor_network import ActorNetwork
from poolrl.networks.base import Network
from poolrl.networks.encoder_decoder import EncoderDecoderNetwork
from poolrl.networks.microbatches import MicrobatchNetwork
from poolrl.networks.mlp_network import MLPNetwork
from poolrl.networks.parameters import actor_columns
from poolrl.networks.recurrent_network import RecurrentNetwork

F32 = NDArray[np.float32]


def make_network(
    arrays: Mapping[str, NDArray[Any]],
    spec: NetworkSpec,
    observation_size: int,
    outputs: int,
    gradient: Mapping[str, F32] | None = None,
    microbatch_size: int = 0,
) -> Network:
    """Make a network over an agent's arrays.

    Args:
        arrays: named tensors, with those of ``poolrl.networks.parameters.expected_shapes``.
        spec: architecture of actor and critic.
        observation_size: number of observed values.
        outputs: number of parameters of the distribution that the actor computes.
        gradient: arrays that receive the derivatives; ``None`` for a network that is not trained.
        microbatch_size: of a trained perceptron or encoder-decoder: rows whose gradients are
            computed apart and then summed; 0 for all at once.

    Raises:
        UsageError: a user's network was not permitted.
    """
    columns = actor_columns(spec, observation_size)
    if isinstance(spec, RecurrentSpec):
        return RecurrentNetwork(arrays, spec, gradient, columns)
    if isinstance(spec, ModuleSpec):
        from poolrl.networks.module_network import ModuleNetwork  # with torch

        return ModuleNetwork(arrays, spec, observation_size, outputs, gradient)
    if isinstance(spec, QMLPSpec):
        return ActorNetwork(arrays, spec)
    make: Callable[[Mapping[str, F32] | None], Network]
    if isinstance(spec, EncoderDecoderSpec):
        make = partial(EncoderDecoderNetwork, arrays, spec, observation_size)
    else:
        make = partial(MLPNetwork, arrays, spec, actor_columns=columns)
    if gradient is None or not microbatch_size:
        return make(gradient)
    return MicrobatchNetwork(make, gradient, microbatch_size)
