"""Maps of actions, noise of actuators, and fatigue against its equations for single muscles."""

from __future__ import annotations

import math
from pathlib import Path

import mujoco
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolrl import tasks
from poolrl.errors import UsageError
from poolrl.tasks.muscles.excitation import FATIGUE_RATES, MAPS, Fatigue, excitations
from poolrl.tasks.muscles.models import load_own, peak_forces
from tests.helpers.muscles import actions, own_model, started


def test_maps_are_what_they_say(tmp_path: Path) -> None:
    for name, action, expected in (
        ("direct", [0.0, 0.25, 1.0], [0.0, 0.25, 1.0]),
        ("clip", [-1.0, -0.1, 0.4], [0.0, 0.0, 0.4]),
        ("sigmoid", [-1.0, 0.5, 1.0], [1 / (1 + math.exp(7.5)), 0.5, 1 / (1 + math.exp(-2.5))]),
    ):
        task = started("MuscleReach-v0", 1, excitation=name, **own_model(tmp_path))
        low = 0 if name == "direct" else -1
        assert task.action_space.low.tolist() == [low] * 3  # type: ignore[union-attr]
        assert task.action_space.high.tolist() == [1] * 3  # type: ignore[union-attr]
        task.step(np.array([action], np.float32))
        assert task.ctrl[0] == pytest.approx(expected, abs=1e-7)


@given(action=st.floats(-1, 1), name=st.sampled_from(MAPS))
def test_excitations_are_in_0_to_1_and_rise_with_the_action(action: float, name: str) -> None:
    lower, upper = excitations(np.array([action, min(action + 0.1, 1.0)]), name)
    assert 0 <= lower <= upper <= 1


def test_an_unknown_map_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"task\.kwargs\.excitation: unknown map 'tanh'; known: di"
    ):
        started("MuscleReach-v0", excitation="tanh", **own_model(tmp_path))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("noise", (-0.1, 0.0)),
        ("force_scale", -0.5),
        ("initial_fatigue", 1.5),
        ("fatigue_rates", (-1.0, 0.0, 1.0)),
        ("reset_noise_scale", -1.0),
    ],
)
def test_what_is_out_of_range_is_named(tmp_path: Path, key: str, value: object) -> None:
    with pytest.raises(UsageError, match=rf"task\.kwargs\.{key}: expected"):
        tasks.make("MuscleReach-v0", 1, kwargs=own_model(tmp_path) | {key: value})


def test_sarcopenia_halves_the_active_force(tmp_path: Path) -> None:
    """Also where the model leaves a muscle's peak force to MuJoCo."""
    arguments = own_model(tmp_path)
    model = load_own(arguments["xml_file"])
    assert (model.actuator_gainprm[:, 2] < 0).tolist() == [False, True, True]
    whole, half = (
        started("MuscleReach-v0", 1, force_scale=s, reset_noise_scale=0.0, **arguments)
        for s in (1.0, 0.5)
    )
    assert peak_forces(half.model) == pytest.approx(0.5 * peak_forces(model))
    forces = []
    for task in (whole, half):
        active = []
        for act in (0.0, 1.0):
            data = mujoco.MjData(task.model)
            data.qpos[:], data.act[:] = task.qpos[0], act
            mujoco.mj_forward(task.model, data)
            active.append(data.actuator_force.copy())
        forces.append(active)
    assert (forces[0][1] - forces[0][0] < -1).all()
    assert forces[1][1] - forces[1][0] == pytest.approx(0.5 * (forces[0][1] - forces[0][0]))
    assert np.array_equal(forces[1][0], forces[0][0])
    whole.step(np.ones((1, 3)))
    half.step(np.ones((1, 3)))
    assert not np.array_equal(whole.qpos, half.qpos)


def test_noise_grows_with_the_signal_and_is_the_episodes_own(tmp_path: Path) -> None:
    arguments = own_model(tmp_path) | {"noise": (0.1, 0.02)}

    def controls(rows: list[int], ids: list[np.ndarray | None]) -> np.ndarray:
        task = tasks.make("MuscleReach-v0", len(rows), kwargs=arguments)
        task.reset(np.arange(len(rows)), [np.random.default_rng([5, row]) for row in rows])
        found = []
        for which in ids:
            task.step(np.full((len(rows), 3), 0.5), which)
            found.append(task.ctrl.copy())  # type: ignore[attr-defined]
        return np.array(found)

    three = controls([0, 1, 2], [None] * 200)
    assert three.mean() == pytest.approx(0.5, abs=0.01)
    assert three.std() == pytest.approx(math.hypot(0.05, 0.02), rel=0.06)
    assert np.array_equal(controls([1], [None] * 200)[:, 0], three[:, 1])
    # Simulation 1 makes no step at first, and draws nothing.
    late = controls([0, 1, 2], [np.array([0, 2])] * 3 + [None] * 5)
    assert np.array_equal(late[3:, 1], three[:5, 1])
    assert np.array_equal(late[:, 0], three[:8, 0])
    silent = controls([0], [None])
    assert not np.array_equal(silent, np.full_like(silent, 0.5))


def scalar_fatigue(
    shares: tuple[float, float, float], target: float, tau: tuple[float, float], dt: float
) -> tuple[float, float, float]:
    """The equations of 3CC-r for one muscle, written out."""
    active, resting, fatigued = shares
    f, r, factor = FATIGUE_RATES
    recovery = (factor * r if target <= 0.01 else r) * fatigued
    stiffness = 0.5 + 1.5 * active
    if active < target:
        gain = (1 - math.exp(-dt / (tau[0] * stiffness))) / dt
        drive = gain * (target - active if resting > target - active else resting)
    else:
        drive = (1 - math.exp(-dt * stiffness / tau[1])) / dt * (target - active)
    drive = max(drive, -active / dt + f * active, (resting - 1) / dt + recovery)
    drive = min(drive, (1 - active) / dt + f * active, resting / dt + recovery)
    return (
        active + (drive - f * active) * dt,
        resting + (recovery - drive) * dt,
        fatigued + (f * active - recovery) * dt,
    )


def test_fatigue_follows_the_scalar_equations() -> None:
    tau = np.array([[0.01, 0.04], [0.02, 0.06]])
    fatigue = Fatigue(3, tau, 0.01, FATIGUE_RATES)
    fatigue.reset(np.arange(3), 0.2)
    single = [[(0.0, 0.8, 0.2)] * 2 for _ in range(3)]
    random = np.random.default_rng(0)
    for k in range(3000):
        target = random.uniform(0, 1, (3, 2)) if k % 7 else np.zeros((3, 2))
        ids = np.arange(3) if k % 3 else np.array([0, 2])
        result = fatigue.step(target[ids], ids)
        for row, i in enumerate(ids):
            for j in range(2):
                values = float(target[i, j]), (float(tau[j, 0]), float(tau[j, 1])), 0.01
                single[i][j] = scalar_fatigue(single[i][j], *values)
                assert result[row, j] == pytest.approx(single[i][j][0], abs=1e-12)
    got = np.stack((fatigue.active, fatigue.resting, fatigue.fatigued), axis=2)
    assert got == pytest.approx(np.array(single), abs=1e-11)
    assert got.sum(axis=2) == pytest.approx(1.0)


def test_a_muscle_that_is_held_active_tires_and_rest_restores_it() -> None:
    fatigue = Fatigue(1, np.array([[0.01, 0.04]]), 0.02, FATIGUE_RATES)
    ids = np.arange(1)
    held = [fatigue.step(np.ones((1, 1)), ids)[0, 0] for _ in range(20_000)]
    assert held[50] == pytest.approx(1, abs=0.05)
    # In the long run F·M_A = R·M_F, without rest.
    assert held[-1] == pytest.approx(
        FATIGUE_RATES[1] / (FATIGUE_RATES[0] + FATIGUE_RATES[1]), abs=0.05
    )
    before = fatigue.fatigued[0, 0]
    for _ in range(5000):
        fatigue.step(np.zeros((1, 1)), ids)
    assert fatigue.fatigued[0, 0] < 0.5 * before


def test_a_task_with_fatigue_observes_it_and_excites_less(tmp_path: Path) -> None:
    arguments = own_model(tmp_path)
    plain = started("MuscleReach-v0", **arguments)
    tired = started("MuscleReach-v0", fatigue=True, initial_fatigue=0.7, **arguments)
    size = plain.observe().shape[1]
    assert tired.observe().shape[1] == size + 3
    for _ in range(20):
        plain.step(np.ones((3, 3)))
        observation = tired.step(np.ones((3, 3))).observation
    assert tired.fatigue is not None
    assert (tired.ctrl < 0.35).all()
    assert (plain.ctrl == 1).all()
    shown = observation[:, size - 9 : size - 6]
    assert np.array_equal(shown, tired.fatigue.fatigued)
    assert tired.info()["fatigue"] == pytest.approx(tired.fatigue.fatigued.mean(axis=1))
    tired.reset(np.array([1]), [np.random.default_rng(1)])
    assert tired.fatigue.fatigued[1] == pytest.approx(0.7)
    assert (tired.fatigue.fatigued[0] > 0.7).all()
    assert not actions(tired, 0).min() < 0
