"""DEP against the published controller, an independent loop, and what it promises."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from poolrl.dep import DEP, PRESETS
from tests.exploration.published import FILE, SETS

STEPS = 60


def walks(num_envs: int, num_actuators: int, steps: int = STEPS, seed: int = 0) -> NDArray[Any]:
    """(steps, num_envs, num_actuators): sensors that wander."""
    generator = np.random.default_rng(seed)
    return np.sin(generator.normal(0, 0.2, (steps, num_envs, num_actuators)).cumsum(axis=0))


def actions_of(controller: DEP, sensors: NDArray[Any]) -> NDArray[np.float32]:
    return np.array([controller.step(each) for each in sensors])


@pytest.mark.parametrize("name", SETS)
def test_the_published_controller(name: str) -> None:
    with np.load(FILE) as stored:
        sensors, expected = stored["sensors"], stored[name]
    assert len(sensors) == 200
    found = actions_of(DEP(*sensors.shape[1:], **SETS[name]), sensors)
    assert found.dtype == np.float32
    assert np.abs(found).mean() > 0.5
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def plain(sensors: NDArray[Any], parameters: dict[str, Any]) -> list[NDArray[Any]]:
    """Actions of one controller by the equations, in float64 and with loops over all indices."""
    given = {"kappa": 100.0, "tau": 20, "time_dist": 5, "bias_rate": 2e-5, "s4avg": 2.0} | {
        "normalization": "independent",
        "q_norm_selector": "l2",
        **parameters,
    }
    kappa, tau, d = given["kappa"], given["tau"], given["time_dist"]
    n = sensors.shape[1]
    smoothed: list[NDArray[Any]] = []
    actions: list[NDArray[Any]] = []
    bias = np.zeros(n)
    for t, seen in enumerate(sensors):
        x = seen
        if given["s4avg"] > 1 and t:
            x = smoothed[-1] + (seen - smoothed[-1]) / given["s4avg"]
        smoothed.append(x)
        matrix = np.zeros((n, n))
        for s in range(2, min(t - d, tau)):
            change = smoothed[-s] - smoothed[-s - 1]
            before = smoothed[-s - d] - smoothed[-s - d - 1]
            for j in range(n):
                for k in range(n):
                    matrix[j, k] -= change[j] * before[k]
        norms = {
            "independent": np.array([np.linalg.norm(row) for row in matrix]),
            "global": np.full(n, np.linalg.norm(matrix)),
            "none": np.full(n, kappa),
        }[given["normalization"]]
        normalized = matrix * (kappa / (norms + 1e-32))
        if t and given["bias_rate"] >= 0:
            bias = bias - np.clip(actions[-1] * given["bias_rate"], -0.05, 0.05) - 0.001 * bias
        q = normalized @ x
        size = {"l2": np.linalg.norm(q), "max": np.abs(q).max(), "none": 1.0}
        actions.append(np.tanh(kappa * q / (size[given["q_norm_selector"]] + 1e-32) + bias))
    return actions


@pytest.mark.parametrize(
    "parameters",
    [
        {"normalization": "global"},
        {"normalization": "none", "q_norm_selector": "none"},
        {"q_norm_selector": "max", "kappa": 2.0},
        {"q_norm_selector": "none", "kappa": 0.7},
        {"bias_rate": 0.3, "kappa": 1.0},
        {"bias_rate": -1.0, "s4avg": 1.0, "kappa": 5.0},
        {"tau": 3, "time_dist": 0, "kappa": 5.0},
        {"tau": 8, "time_dist": 12, "buffer_size": 20, "kappa": 5.0},
    ],
)
def test_the_equations(parameters: dict[str, Any]) -> None:
    sensors = walks(2, 4)
    found = actions_of(DEP(2, 4, **parameters), sensors)
    expected = np.array([plain(sensors[:, i], parameters) for i in range(2)])
    np.testing.assert_allclose(found, expected.transpose(1, 0, 2), rtol=0, atol=1e-3)
    assert np.abs(found).max() > 0.1


def test_rest() -> None:
    controller = DEP(2, 5, tau=10, time_dist=4, s4avg=1.0)
    sensors = walks(2, 5)
    actions_of(controller, sensors)
    assert np.abs(controller.matrix).max() > 0
    for _ in range(14):
        action = controller.step(sensors[-1])
    np.testing.assert_array_equal(controller.matrix, 0)
    assert np.abs(action).max() < 0.01  # the bias alone


def test_one_actuator_at_rest_leaves_the_others() -> None:
    sensors = walks(1, 4)
    sensors[30:, :, 0] = sensors[30, :, 0]
    controller = DEP(1, 4, tau=10, time_dist=8, s4avg=1.0)
    actions_of(controller, sensors[:42])
    assert (controller.matrix[0, 0] == 0).all()  # it did not move within the window,
    assert (controller.matrix[0, 1:, 0] != 0).all()  # but within the delay
    without = DEP(1, 3, tau=10, time_dist=8, s4avg=1.0)
    for x in sensors[:42, :, 1:]:
        expected = without.step(x)
    found = controller.step(sensors[42])
    expected = without.step(sensors[42, :, 1:])
    np.testing.assert_allclose(found[:, 1:], expected, atol=1e-4)


def test_tiny_motion_acts_as_large_motion() -> None:
    """Independent normalisation leaves no scale; squares of small float32 numbers must not be 0."""
    sensors = walks(1, 4).astype(np.float32)
    small = sensors * np.float32(2.0**-30)
    found = actions_of(DEP(1, 4), small)
    np.testing.assert_array_equal(found, actions_of(DEP(1, 4), sensors))


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_simulations_do_not_depend_on_one_another(data: st.DataObject) -> None:
    """Whichever wait or are reset, each acts as a controller of its own would, to the bit."""
    n, size, steps = 3, 4, 40
    parameters: dict[str, Any] = {"tau": 6, "time_dist": 3, "buffer_size": 9}
    sensors = walks(n, size, steps)
    together = DEP(n, size, **parameters)
    alone = [DEP(1, size, **parameters) for _ in range(n)]
    some = st.lists(st.integers(0, n - 1), unique=True)
    for x in sensors:
        resets = data.draw(some) if data.draw(st.integers(0, 9)) == 0 else []
        ids = np.array(resets, np.intp)
        together.reset(ids)
        stepped = data.draw(st.one_of(st.none(), some))
        for i in ids:
            alone[i].reset()
        rows = np.arange(n) if stepped is None else np.array(sorted(stepped), np.intp)
        found = together.step(x, None if stepped is None else rows)
        expected = np.zeros((n, size), np.float32)
        for i in rows:
            expected[i] = alone[i].step(x[i : i + 1])[0]
        np.testing.assert_array_equal(found, expected)


def test_a_frozen_matrix() -> None:
    controller = DEP(1, 4, bias_rate=-1.0)
    sensors = walks(1, 4)
    actions_of(controller, sensors)
    controller.with_learning = False
    frozen = controller.matrix
    one, other = controller.step(sensors[3]), controller.step(sensors[40])
    np.testing.assert_array_equal(controller.matrix, frozen)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("name", PRESETS)
def test_presets(name: str) -> None:
    found = actions_of(DEP(1, 3, **PRESETS[name]), walks(1, 3, 200))
    assert np.abs(found[-50:]).mean() > 0.2


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"tau": 150, "time_dist": 60}, r"tau \+ time_dist = 210 steps .* buffer_size = 200"),
        ({"tau": 2}, "tau = 2"),
        ({"time_dist": -1}, "time_dist = -1"),
        ({"normalization": "all"}, "normalization = 'all'"),
        ({"q_norm_selector": "l1"}, "q_norm_selector = 'l1'"),
    ],
)
def test_refused(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DEP(1, 2, **parameters)


def test_sensors_of_another_shape() -> None:
    with pytest.raises(ValueError, match=r"shape \(1, 2\), got \(2,\)"):
        DEP(1, 2).step(np.zeros(2))
