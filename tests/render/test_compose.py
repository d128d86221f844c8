"""Panels and captions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from poolrl.errors import UsageError
from poolrl.render.compose import composed
from poolrl.render.timeline import Panel, frames

WIDTH, HEIGHT = 60, 100


def pictures(count: int, shape: tuple[int, int] = (HEIGHT, WIDTH)) -> list[NDArray[np.uint8]]:
    """Pictures that are grey, each brighter than the one before."""
    return [np.full((*shape, 3), 10 + number, np.uint8) for number in range(count)]


def frame_of(
    panels: int, size: tuple[int, int] | None = None, shape: tuple[int, int] = (HEIGHT, WIDTH)
) -> NDArray[np.uint8]:
    """The first frame of panels, each of which shows an episode."""
    each = [Panel([number], [f"episode {number}"]) for number in range(panels)]
    sequence = frames(each, [1] * panels, Fraction(1), Fraction(1))
    return next(composed(sequence, pictures(2 * panels, shape), each, size)).copy()


@pytest.mark.parametrize(
    ("panels", "rows", "columns"), [(1, 1, 1), (3, 1, 3), (4, 2, 2), (5, 2, 3), (10, 3, 4)]
)
def test_panels_are_a_row_or_nearly_a_square(panels: int, rows: int, columns: int) -> None:
    frame = frame_of(panels)
    assert frame.shape == (rows * HEIGHT, columns * WIDTH, 3)
    for number in range(panels):
        bottom = (number // columns + 1) * HEIGHT - 1
        assert (frame[bottom, number % columns * WIDTH] == 10 + number).all()


def test_captions_are_legible_on_dark_and_bright() -> None:
    frame = frame_of(1)
    written = frame[:20]
    assert written.max() > 200
    assert (frame[40:] == 10).all()


def test_odd_sizes_are_padded_to_even_ones() -> None:
    assert frame_of(1, shape=(73, 97)).shape == (74, 98, 3)


def test_pictures_of_another_shape_are_fitted_with_bars() -> None:
    frame = frame_of(1, size=(200, 100))
    assert frame.shape == (100, 200, 3)
    assert (frame[-1, [0, -1]] == 0).all()
    assert (frame[-1, 100] == 10).all()


def test_too_many_pixels_are_refused() -> None:
    with pytest.raises(UsageError, match=r"the panels together are 18000x100 pixels"):
        frame_of(3, shape=(100, 6000))
