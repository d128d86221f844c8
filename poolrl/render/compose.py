"""Put pictures side by side, and write captions into them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from math import ceil, isqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poolrl.errors import UsageError
from poolrl.render.timeline import Frame, Panel

Image = NDArray[np.uint8]

IN_A_ROW = 3
"""Most panels of a single row; more than these are arranged in a square."""

MARGIN = 4
"""Distance of a caption from the edges of its panel in pixels."""


def composed(
    sequence: Sequence[Frame],
    pictures: Iterable[Image],
    panels: Sequence[Panel],
    size: tuple[int, int] | None,
) -> Iterator[Image]:
    """Compose the frames of a video.

    Args:
        sequence: the frames.
        pictures: of their ``drawn_moments``, each of shape (height, width, 3).
        panels: with the captions.
        size: width and height of a panel in pixels, to which pictures of other sizes are fitted;
            ``None`` for that of the first picture.

    Yields:
        Frames of shape (height, width, 3), both even, as most decoders want it.

    Raises:
        UsageError: pictures have different sizes, and none was asked for.
    """
    drawn = iter(pictures)
    canvas: Image | None = None
    columns = len(panels) if len(panels) <= IN_A_ROW else isqrt(len(panels) - 1) + 1
    rows = ceil(len(panels) / columns)
    before: Frame | None = None
    for frame in sequence:
        for number, moment in enumerate(frame.moments):
            if before is not None and before.moments[number] == moment:
                continue
            picture = next(drawn)
            if size is None:
                size = picture.shape[1], picture.shape[0]
            if picture.shape[:2] != (size[1], size[0]):
                picture = _fitted(picture, size)
            width, height = size
            if canvas is None:
                canvas = _canvas(rows * height, columns * width)
            top, left = number // columns * height, number % columns * width
            place = canvas[top : top + height, left : left + width]
            place[...] = picture
            _write(place, panels[number].captions[frame.part])
        assert canvas is not None
        before = frame
        yield canvas


def _canvas(height: int, width: int) -> Image:
    if max(height, width) > 16_000:
        raise UsageError(
            f"--size: the panels together are {width}x{height} pixels, and no more than 16000 can "
            "be encoded"
        )
    return np.zeros((height + height % 2, width + width % 2, 3), np.uint8)


def _fitted(picture: Image, size: tuple[int, int]) -> Image:
    """Scale a picture to fit a size, with black bars where its shape is another."""
    from PIL import Image as Images
    from PIL import ImageOps

    fitted = ImageOps.pad(Images.fromarray(picture), size, Images.Resampling.LANCZOS)
    return np.asarray(fitted)


def _write(place: Image, text: str) -> None:
    """Write a caption into a picture, in its upper left corner."""
    color, opacity = _caption(text, place.shape[1], place.shape[0])
    part = place[: len(color)]
    part[...] = (part * (1 - opacity) + color).astype(np.uint8)


@lru_cache(maxsize=256)
def _caption(text: str, width: int, height: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A caption as white letters with a dark edge, which are legible on anything.

    Returns:
        The colours times the opacity, (rows, width, 3), and the opacity, (rows, width, 1).
    """
    from PIL import Image as Images
    from PIL import ImageDraw, ImageFont

    points = max(9, round(height / 24))
    font = ImageFont.truetype(_font_file(), points)
    rows = min(height, 2 * MARGIN + round(1.4 * points))
    letters = Images.new("RGBA", (width, rows), (0, 0, 0, 0))
    ImageDraw.Draw(letters).text(
        (MARGIN, MARGIN),
        text,
        font=font,
        fill=(255, 255, 255, 255),
        stroke_width=max(1, points // 8),
        stroke_fill=(20, 20, 20, 255),
    )
    pixels = np.asarray(letters, np.float32)
    opacity = pixels[..., 3:] / np.float32(255)
    return pixels[..., :3] * opacity, opacity


def _font_file() -> str:
    """Matplotlib's DejaVu Sans: Pillow's own font has no letters beyond ASCII."""
    import matplotlib

    return str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf")
