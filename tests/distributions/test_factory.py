"""Which distribution suits which actions and options, and what the others are refused with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from poolrl.config.networks import MLPSpec
from poolrl.distributions.factory import default_distribution, make_distribution
from poolrl.errors import UsageError
from poolrl.spaces import ActionSpace
from tests.helpers.torch_distributions import BOX, CHOICES

UNBOUNDED = Box(-np.inf, np.inf, (2,), np.float32)
HALF_BOUNDED = Box(np.array([-1, -1], np.float32), np.array([1, np.inf], np.float32))
MANY = Box(-np.arange(1.0, 31).astype(np.float32), np.full(30, np.inf, np.float32))


def test_each_space_has_its_default() -> None:
    spaces: list[ActionSpace] = [BOX, UNBOUNDED, Discrete(4), CHOICES]
    names = [default_distribution(space) for space in spaces]
    assert names == ["beta", "gaussian", "categorical", "categorical"]


@pytest.mark.parametrize(
    ("name", "space", "suits"),
    [
        ("beta", Discrete(2), "categorical"),
        ("gaussian", CHOICES, "categorical"),
        ("discretized", Discrete(2), "categorical"),
        ("squashed_gaussian", CHOICES, "categorical"),
        ("categorical", BOX, "beta"),
        ("beta", UNBOUNDED, "gaussian"),
        ("squashed_gaussian", HALF_BOUNDED, "gaussian"),
        ("discretized", MANY, "gaussian"),
    ],
)
def test_a_distribution_that_does_not_suit_is_refused(
    name: str, space: ActionSpace, suits: str
) -> None:
    with pytest.raises(UsageError) as error:
        make_distribution(MLPSpec(distribution=name), space)
    line = str(error.value)
    assert line.startswith(f"network.distribution: {name} does not suit actions in ")
    assert line.endswith(f"; {suits} does")
    assert "\n" not in line


@pytest.mark.parametrize(
    ("options", "space", "line"),
    [
        (
            {"distribution": "beta", "std": "network"},
            BOX,
            "network.std: needs network.distribution = gaussian or squashed_gaussian, got beta",
        ),
        (
            {"distribution": "auto", "std_init": 0.5},
            BOX,
            "network.std_init: needs network.distribution = gaussian or squashed_gaussian, "
            "got beta",
        ),
        (
            {"distribution": "gaussian", "std_min": 0.5},
            BOX,
            "network.std_min: needs network.std = network or schedule, got free",
        ),
        (
            {"distribution": "squashed_gaussian", "std": "schedule", "std_max": 3.0},
            BOX,
            "network.std_max: needs network.std = network, got schedule",
        ),
        (
            {"distribution": "categorical", "bins": 5},
            CHOICES,
            "network.bins: needs network.distribution = discretized, got categorical",
        ),
        (
            {"distribution": "gaussian", "std": "schedule", "std_init": 0.5, "std_min": 0.6},
            BOX,
            "network.std_min: 0.6 is above std_init (0.5)",
        ),
        (
            {"distribution": "gaussian", "std": "network", "std_init": 2.0},
            BOX,
            "network.std_init: 2 is not between std_min (0.01) and std_max (2)",
        ),
        (
            {"distribution": "discretized", "bins": 10_000},
            Box(-1, 1, (11,), np.float32),
            "network.bins: 10,000 values of each of 11 actions are more than 100,000",
        ),
    ],
)
def test_an_option_that_does_not_suit_is_refused(
    options: dict[str, Any], space: ActionSpace, line: str
) -> None:
    with pytest.raises(UsageError) as error:
        make_distribution(MLPSpec(**options), space)
    assert str(error.value) == line


def test_options_that_are_read_are_taken() -> None:
    cases: list[tuple[Any, ActionSpace]]
    cases = [("gaussian", UNBOUNDED), ("squashed_gaussian", BOX), ("auto", UNBOUNDED)]
    options: list[dict[str, Any]] = [
        {"std_init": 0.5},
        {"std": "network", "std_min": 0.1, "std_init": 0.5, "std_max": 0.6},
        {"std": "schedule", "std_init": 0.5, "std_min": 0.5},
    ]
    for name, space in cases:
        for given in options:
            make_distribution(MLPSpec(distribution=name, **given), space)
