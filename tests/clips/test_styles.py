"""Styles of movement: what is drawn, without physics."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poolrl.clips.styles import ONSET_SECONDS, STYLES, Style, Wave, draw_control
from poolrl.errors import UsageError

SIDES = ("L", "R")
ACTUATORS = sorted(
    {name.replace("*", side) for style in STYLES.values() for name in style.waves for side in SIDES}
)


@settings(max_examples=20, deadline=None)
@given(label=st.sampled_from(sorted(STYLES)), seed=st.integers(0, 10**6))
def test_controls_are_smooth_and_within_bounds(label: str, seed: int) -> None:
    control = draw_control(STYLES[label], ACTUATORS, np.random.default_rng(seed))
    controls = np.array([control.at(time) for time in np.arange(0.0, 3.0, 0.02)])
    assert controls.shape == (150, len(ACTUATORS))
    assert not controls[0].any()
    assert np.abs(controls).max() <= 1.0
    # The fastest wave has 6 Hz and an amplitude of 0.9; the onset and the drift add a little.
    assert np.abs(np.diff(controls, axis=0)).max() < 2 * np.pi * 6.0 * 0.9 * 0.02 + 0.1


def test_equal_seeds_give_equal_controls() -> None:
    first, again, other = (
        draw_control(STYLES["Walk"], ACTUATORS, np.random.default_rng(seed)) for seed in (3, 3, 4)
    )
    assert np.array_equal(first.at(1.0), again.at(1.0))
    assert not np.array_equal(first.at(1.0), other.at(1.0))


def without_drift(style: Style, seed: int = 0) -> dict[str, np.ndarray]:
    """Offsets, amplitudes and phases by actuator."""
    control = draw_control(style, ACTUATORS, np.random.default_rng(seed))
    table = np.stack((control.offset, control.amplitude, control.phase), axis=1)
    return dict(zip(ACTUATORS, table, strict=True))


def test_sides() -> None:
    both = without_drift(Style({"knee_*": Wave((0.2, 0.2), (0.5, 0.5), 1.0, antiphase=True)}))
    assert both["knee_L"][:2].tolist() == both["knee_R"][:2].tolist() == [0.2, 0.5]
    assert both["knee_R"][2] - both["knee_L"][2] == pytest.approx(np.pi)
    assert not both["ankle_L"].any()
    style = Style({"elbow_*": Wave((0.2, 0.3), one_sided=True)})
    moved = set()
    for seed in range(20):
        found = without_drift(style, seed)
        (side,) = (side for side in SIDES if found[f"elbow_{side}"].any())
        moved.add(side)
    assert moved == {"L", "R"}


def test_the_trunk_bends_to_either_side() -> None:
    style = Style({"lumbar_bend": Wave((0.5, 0.6)), "lumbar_extend": Wave((0.5, 0.6))})
    bends = np.array([without_drift(style, seed)["lumbar_bend"][0] for seed in range(20)])
    assert 0 < (bends > 0).sum() < 20
    assert (np.abs(bends) >= 0.5).all()
    assert all(without_drift(style, seed)["lumbar_extend"][0] > 0 for seed in range(20))


def test_bouts_come_and_go() -> None:
    style = Style({"lumbar_extend": Wave((1.0, 1.0))}, bouts=(2.0, 2.0))
    control = draw_control(style, ACTUATORS, np.random.default_rng(0))
    number = ACTUATORS.index("lumbar_extend")
    amplitude = np.abs(control.drift[0, :, number]).sum()
    for time, expected in ((2.0, 0.0), (3.0, 1.0), (4.0, 0.0)):
        assert time > ONSET_SECONDS
        assert control.at(time)[number] == pytest.approx(expected, abs=amplitude)
    assert amplitude < 0.3


def test_a_body_without_the_actuators() -> None:
    with pytest.raises(UsageError, match=r"^model: no actuator 'hip_L_extend'$"):
        draw_control(STYLES["Walk"], ["knee_L"], np.random.default_rng(0))
