"""Looks of curves."""

from __future__ import annotations

from poolrl.report.figures import style


def test_curves_and_markers_look_different() -> None:
    looks = [style.look(number) for number in range(49)]
    assert len(set(looks)) == 49
    assert len({(color, marker) for color, _, marker in looks}) == 49
