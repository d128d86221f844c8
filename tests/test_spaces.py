"""Spaces in headers: bounds as wide as their type, and what earlier versions recorded."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from poolrl.config.networks import MLPSpec
from poolrl.distributions.factory import default_distribution, make_distribution
from poolrl.spaces import VAST, SpaceSpec

LARGEST = float(np.finfo(np.float32).max)
WIDE = {
    "float32's largest": (-LARGEST, LARGEST, np.float32),
    "nearly": (-3e38, 3e38, np.float32),
    "a range that overflows": (-2e38, 2e38, np.float32),
    "float32's largest in float64": (-LARGEST, LARGEST, np.float64),
    "float64's largest": (-1.7976931348623157e308, 1.7976931348623157e308, np.float64),
    "infinite": (-math.inf, math.inf, np.float32),
}


def restored(spec: SpaceSpec) -> SpaceSpec:
    return msgspec.convert(json.loads(json.dumps(msgspec.to_builtins(spec))), SpaceSpec)


@pytest.mark.parametrize("name", WIDE)
def test_actions_with_vast_bounds_are_unbounded(name: str) -> None:
    low, high, dtype = WIDE[name]
    spec = SpaceSpec.of_actions(Box(low, high, (2,), dtype))
    assert (spec.low, spec.high) == (None, None)
    assert restored(spec) == spec
    assert default_distribution(spec.space()) == "gaussian"


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, LARGEST, (0, math.inf)),
        (-LARGEST, 1, (-math.inf, 1)),
        (-3e38, 0, (-math.inf, 0)),
        (-1e30, 1e30, (-float(np.float32(1e30)), float(np.float32(1e30)))),
    ],
)
def test_one_sided_bounds_keep_the_other(low: Any, high: Any, expected: Any) -> None:
    space = Box(np.array([low, -1], np.float32), np.array([high, 1], np.float32), dtype=np.float32)
    spec = SpaceSpec.of_actions(space)
    assert spec.low is not None
    assert spec.high is not None
    assert ((spec.low[0], spec.high[0]), (spec.low[1], spec.high[1])) == (expected, (-1, 1))
    assert restored(spec) == spec
    distribution = make_distribution(MLPSpec(distribution="auto"), spec.space())
    parameters = np.zeros((1000, distribution.num_parameters), np.float32)
    sample = distribution.sample(parameters, np.random.default_rng(0))
    actions = distribution.action(sample)
    assert np.isfinite(actions).all()
    assert len(np.unique(actions[:, 0])) > 100
    assert (actions >= np.array(spec.low)).all()
    assert (actions <= np.array(spec.high)).all()


@pytest.mark.parametrize("name", WIDE)
def test_headers_take_observations_with_vast_bounds(name: str) -> None:
    low, high, dtype = WIDE[name]
    spec = SpaceSpec.of(Box(low, high, (2,), dtype))
    assert restored(spec) == spec


def test_what_earlier_versions_recorded() -> None:
    now = SpaceSpec.of_actions(Box(-3e38, 3e38, (2,), np.float32))
    for low, high in ((-3e38, 3e38), (-VAST, VAST), (0.0, 0.0)):
        assert SpaceSpec((2,), "float32", (low, low), (high, high)).is_earlier_form_of(now)
    mixed = SpaceSpec((2,), "float32", (-math.inf, -1.0), (math.inf, 1.0))
    assert SpaceSpec((2,), "float32", (0.0, -1.0), (0.0, 1.0)).is_earlier_form_of(mixed)
    assert not SpaceSpec((2,), "float32", (0.0, 0.0), (0.0, 0.0)).is_earlier_form_of(mixed)
    assert not SpaceSpec((2,), "float32", (-1.0, -1.0), (1.0, 1.0)).is_earlier_form_of(mixed)
    assert not SpaceSpec((1,), "float32", (0.0,), (0.0,)).is_earlier_form_of(mixed)
    discrete = SpaceSpec.of(Discrete(3))
    assert discrete.is_earlier_form_of(discrete)
    assert not discrete.is_earlier_form_of(mixed)
