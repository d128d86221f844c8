"""Files of video."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from poolrl import extras
from poolrl.errors import UsageError
from poolrl.render import encode
from poolrl.render.encode import output_format, write_video

COUNT = 12


def moving_square() -> Iterator[NDArray[np.uint8]]:
    """Frames of 64 by 48 pixels, in one array that is overwritten, as they are composed."""
    image = np.zeros((48, 64, 3), np.uint8)
    for number in range(COUNT):
        image[...] = (20, 40, 60)
        image[16:32, 4 * number : 4 * number + 16] = (220, 120, 40)
        yield image


@pytest.mark.parametrize("suffix", [".mp4", ".gif", ".MP4"])
def test_frames_and_times(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"square{suffix}"
    write_video(moving_square(), Fraction(20), path)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        decoded = list(container.decode(stream))
        assert (stream.width, stream.height) == (64, 48)
    times = [float(frame.time or 0.0) for frame in decoded]
    assert times == pytest.approx([number / 20 for number in range(COUNT)])
    for frame, expected in zip(decoded, moving_square(), strict=True):
        # 4:2:0 blurs the edges of colours, and 256 colours are not all.
        assert np.abs(frame.to_ndarray(format="rgb24") - expected.astype(float)).mean() < 8
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_mp4_has_the_pixels_that_every_player_knows(tmp_path: Path) -> None:
    write_video(moving_square(), Fraction(20), tmp_path / "square.mp4")
    with av.open(str(tmp_path / "square.mp4")) as container:
        codec = container.streams.video[0].codec_context
        assert (codec.name, codec.pix_fmt) == ("h264", "yuv420p")


def test_webp_is_animated(tmp_path: Path) -> None:
    from PIL import Image

    write_video(moving_square(), Fraction(20), tmp_path / "square.webp")
    durations = []
    with Image.open(tmp_path / "square.webp") as image:
        assert image.size == (64, 48)
        for number in range(image.n_frames):  # type: ignore[attr-defined]
            image.seek(number)
            image.load()
            durations.append(image.info["duration"])
    assert sum(durations[:-1]) == 50 * (COUNT - 1)


def test_what_fails_leaves_nothing_and_keeps_what_was_there(tmp_path: Path) -> None:
    def failing() -> Iterator[NDArray[np.uint8]]:
        yield next(moving_square())
        raise UsageError("no more")

    for suffix in encode.FORMATS:
        path = tmp_path / f"old{suffix}"
        path.write_bytes(b"old")
        with pytest.raises(UsageError, match="no more"):
            write_video(failing(), Fraction(20), path)
        assert path.read_bytes() == b"old"
        path.unlink()
        assert not list(tmp_path.iterdir())


def test_a_name_that_is_no_videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"name a \.mp4, \.gif or \.webp file"):
        output_format(tmp_path / "swim.avi")
    with pytest.raises(UsageError, match="no such directory"):
        output_format(tmp_path / "none" / "swim.mp4")
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'poolrl\[video\]'"):
        output_format(tmp_path / "swim.mp4")
