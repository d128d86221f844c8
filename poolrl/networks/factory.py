"""Selection of the network for a specification."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poolrl.config.networks import NetworkSpec, RecurrentSpec
from poolrl.networks.base import Network
from poolrl.networks.mlp_network import MLPNetwork
from poolrl.networks.recurrent_network import RecurrentNetwork

F32 = NDArray[np.float32]


def make_network(
    arrays: Mapping[str, NDArray[Any]],
    spec: NetworkSpec,
    gradient: Mapping[str, F32] | None = None,
) -> Network:
    """Make a network over an agent's arrays.

    Args:
        arrays: named tensors, with those of ``poolrl.networks.parameters.expected_shapes``.
        spec: architecture of actor and critic.
        gradient: arrays that receive the derivatives; ``None`` for a network that is not trained.
    """
    if isinstance(spec, RecurrentSpec):
        return RecurrentNetwork(arrays, spec, gradient)
    return MLPNetwork(arrays, spec, gradient)
