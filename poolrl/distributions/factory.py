"""Selection of the action distribution for an action space."""

from __future__ import annotations

from gymnasium.spaces import Box, Discrete

from poolrl.distributions.base import Distribution
from poolrl.distributions.beta import Beta
from poolrl.distributions.categorical import Categorical
from poolrl.distributions.gaussian import Gaussian
from poolrl.errors import UsageError
from poolrl.spaces import ActionSpace


def default_distribution(space: ActionSpace) -> str:
    """The name of the default distribution for an action space."""
    if not isinstance(space, Box):
        return "categorical"
    return "beta" if space.is_bounded() else "gaussian"


def make_distribution(name: str, space: ActionSpace) -> Distribution:
    """Make a distribution by name.

    Args:
        name: ``beta``, ``gaussian``, ``categorical``, or ``auto`` for the default of the space.
        space: action space of one simulation.

    Raises:
        UsageError: the distribution does not suit the space.
    """
    if name == "auto":
        name = default_distribution(space)
    if name == "categorical" and not isinstance(space, Box):
        if isinstance(space, Discrete):
            return Categorical([int(space.n)], start=int(space.start), single=True)
        return Categorical(space.nvec.tolist())
    if name == "gaussian" and isinstance(space, Box):
        return Gaussian(space.low, space.high)
    if name == "beta" and isinstance(space, Box) and space.is_bounded():
        return Beta(space.low, space.high)
    suits = default_distribution(space)
    raise UsageError(f"network.distribution: {name} does not suit actions in {space}; {suits} does")
