"""Which moment each frame of a video shows."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poolrl.errors import UsageError
from poolrl.render.job import Moment, control_period
from poolrl.render.timeline import Panel, drawn_moments, frames, shown_steps

PERIOD = Fraction(1, 25)


def test_in_real_time_each_control_step_is_a_frame() -> None:
    assert list(shown_steps(4, PERIOD, 1 / PERIOD)) == [0, 1, 2, 3, 4]
    assert control_period(0.01 * 4) == PERIOD
    assert control_period(0.003 * 5) == Fraction(3, 200)


def test_other_rates_show_the_nearest_step_of_their_time() -> None:
    assert list(shown_steps(4, PERIOD, Fraction(50))) == [0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert list(shown_steps(9, PERIOD, Fraction(10))) == [0, 3, 5, 8, 9]


@settings(deadline=None)
@given(
    st.integers(1, 40),
    st.fractions(Fraction(1, 500), Fraction(1, 20), max_denominator=1000),
    st.fractions(Fraction(1, 2), Fraction(240), max_denominator=1001),
)
def test_time_is_kept(steps: int, period: Fraction, fps: Fraction) -> None:
    shown = list(shown_steps(steps, period, fps))
    assert (shown[0], shown[-1]) == (0, steps)
    assert shown == sorted(shown)
    for frame, step in enumerate(shown[:-1]):
        assert abs(frame / fps - step * period) <= period / 2
    assert steps * period <= (len(shown) - 1) / fps < steps * period + 1 / fps


def test_panels_that_end_early_hold_their_last_frame() -> None:
    panels = [Panel([0, 2], ["a", "b"]), Panel([1, 3], ["c", "d"])]
    sequence = frames(panels, [1, 3, 2, 0], PERIOD, 1 / PERIOD)
    assert [[(m.episode, m.step) for m in f.moments] for f in sequence] == [
        *([(0, 0), (1, 0)], [(0, 1), (1, 1)], [(0, 1), (1, 2)], [(0, 1), (1, 3)]),
        *([(2, 0), (3, 0)], [(2, 1), (3, 0)], [(2, 2), (3, 0)]),
    ]
    assert [frame.part for frame in sequence] == [0, 0, 0, 0, 1, 1, 1]
    # What is held is drawn once.
    assert drawn_moments(sequence)[:6] == [
        *(Moment(0, 0), Moment(1, 0), Moment(0, 1), Moment(1, 1), Moment(1, 2), Moment(1, 3)),
    ]
    assert len(drawn_moments(sequence)) == 2 + 4 + 3 + 1


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_a_step_without_a_duration_is_refused(seconds: float) -> None:
    with pytest.raises(UsageError, match="a control step lasts"):
        control_period(seconds)
