"""Selection of the action distribution for an action space."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete
from msgspec.structs import fields
from numpy.typing import NDArray

from poolrl.config.networks import EncoderDecoderSpec, NetworkSpec, QMLPSpec
from poolrl.distributions.base import Distribution
from poolrl.distributions.beta import Beta
from poolrl.distributions.categorical import Categorical
from poolrl.distributions.discretized import Discretized
from poolrl.distributions.gaussian import Gaussian
from poolrl.distributions.squashed_gaussian import SquashedGaussian
from poolrl.distributions.standard_deviation import (
    FreeStd,
    GivenStd,
    LinearStd,
    NetworkStd,
    StandardDeviation,
)
from poolrl.distributions.tanh_mean_gaussian import TanhMeanGaussian
from poolrl.errors import UsageError
from poolrl.spaces import MAX_CHOICES, ActionSpace

_NORMALS = ("gaussian", "squashed_gaussian")
_READ_WITH: dict[str, dict[str, tuple[str, ...]]] = {
    "std": {"distribution": _NORMALS},
    "std_init": {"distribution": _NORMALS},
    "std_min": {"distribution": _NORMALS, "std": ("network", "schedule")},
    "std_max": {"distribution": _NORMALS, "std": ("network",)},
    "bins": {"distribution": ("discretized",)},
    "beta_link": {"distribution": ("beta",)},
}
"""Key of the network -> the values of other keys with which it is read."""


def default_distribution(space: ActionSpace, network: NetworkSpec | None = None) -> str:
    """The name of the default distribution for an action space, of a network that has its own
    of that."""
    if isinstance(network, QMLPSpec):
        return "tanh_mean_gaussian"
    if isinstance(network, EncoderDecoderSpec):
        return "gaussian"
    if not isinstance(space, Box):
        return "categorical"
    return "beta" if space.is_bounded() else "gaussian"


def make_distribution(
    network: NetworkSpec, space: ActionSpace, std: NDArray[Any] | None = None
) -> Distribution:
    """Make the distribution of a network's actions.

    Args:
        network: names the distribution and its options.
        space: action space of one simulation.
        std: for ``network.std = "schedule"`` the present standard deviation, of shape () or
            (action size,). It is read at every call, so that its owner may change it in place.
            ``None`` for ``network.std_init``.

    Raises:
        UsageError: the distribution does not suit the space, or an option does not suit the
            distribution or is out of its bounds; names the key.
    """
    name: str = network.distribution
    if name == "auto":
        name = default_distribution(space, network)
    if not _suits(name, space):
        text = " ".join(str(space).split())  # the bounds of many dimensions take several lines
        suits = default_distribution(space)
        raise UsageError(
            f"network.distribution: {name} does not suit actions in {text}; {suits} does"
        )
    _check_options(network, name)
    if not isinstance(space, Box):
        if isinstance(space, Discrete):
            return Categorical([int(space.n)], start=int(space.start), single=True)
        return Categorical(space.nvec.tolist())
    size = len(space.low)
    if name == "beta":
        return Beta(space.low, space.high, network.beta_link)
    if name == "discretized":
        if size * network.bins > MAX_CHOICES:
            raise UsageError(
                f"network.bins: {network.bins:,} values of each of {size:,} actions are more than "
                f"{MAX_CHOICES:,}"
            )
        return Discretized(space.low, space.high, network.bins)
    if name == "tanh_mean_gaussian":
        return TanhMeanGaussian(space.low, space.high)
    kind = Gaussian if name == "gaussian" else SquashedGaussian
    return kind(space.low, space.high, _standard_deviation(network, size, std))


def _suits(name: str, space: ActionSpace) -> bool:
    if name == "categorical" or not isinstance(space, Box):
        return name == "categorical" and not isinstance(space, Box)
    return name == "gaussian" or space.is_bounded()


def _check_options(network: NetworkSpec, name: str) -> None:
    """Refuse options that the distribution would ignore, and bounds that are not in order.

    Args:
        network: its options.
        name: of the distribution, not ``auto``.

    Raises:
        UsageError: names the key.
    """
    chosen = {"distribution": name, "std": network.std}
    defaults = {field.name: field.default for field in fields(network)}
    for key, conditions in _READ_WITH.items():
        if getattr(network, key) == defaults[key]:
            continue
        for other, values in conditions.items():
            if chosen[other] not in values:
                raise UsageError(
                    f"network.{key}: needs network.{other} = {' or '.join(values)}, "
                    f"got {chosen[other]}"
                )
    low, initial, high = network.std_min, network.std_init, network.std_max
    if isinstance(network, EncoderDecoderSpec) and network.std == "network":
        if initial != defaults["std_init"]:
            raise UsageError(
                "network.std_init: needs network.std = free or schedule, got network; an "
                "encoder_decoder's is between std_min and std_max"
            )
        if not low < high:
            raise UsageError(f"network.std_max: {high:g} is not above std_min ({low:g})")
        return
    if name not in _NORMALS or network.std == "free":
        return
    if network.std == "schedule" and low > initial:
        raise UsageError(f"network.std_min: {low:g} is above std_init ({initial:g})")
    if network.std == "network" and not low < initial < high:
        raise UsageError(
            f"network.std_init: {initial:g} is not between std_min ({low:g}) and std_max ({high:g})"
        )


def _standard_deviation(
    network: NetworkSpec, size: int, std: NDArray[Any] | None
) -> StandardDeviation:
    if isinstance(network, EncoderDecoderSpec) and network.std == "network":
        return LinearStd(size, network.std_min, network.std_max)
    if network.std == "network":
        return NetworkStd(size, network.std_min, network.std_max, network.std_init)
    if network.std == "schedule":
        return GivenStd(size, np.asarray(network.std_init) if std is None else std)
    return FreeStd(size, network.std_init)
