"""Encode frames as H.264 in MP4, as an animated GIF or as an animated WebP, with PyAV."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from poolrl.errors import PoolrlError, UsageError, one_line
from poolrl.extras import require
from poolrl.files import replacing

if TYPE_CHECKING:
    import av

Image = NDArray[np.uint8]


class Format(NamedTuple):
    """A kind of file.

    Attributes:
        encode: writes frames with their rate to a path.
        fastest: most frames a second that its players show in time; ``None`` for no limit.
    """

    encode: Callable[[Iterable[Image], Fraction, str], None]
    fastest: Fraction | None = None


class _Codec(NamedTuple):
    """How a stream of video is written.

    Attributes:
        container: of the file.
        name: of the encoder.
        pixels: format of its pixels.
        options: of the encoder.
        container_options: of the container.
    """

    container: str
    name: str
    pixels: str
    options: dict[str, str]
    container_options: dict[str, str]


# yuv420p is the one format of pixels that every browser and slide program plays. "faststart" puts
# the index first, so that a video plays while it is loaded.
_MP4 = _Codec(
    *("mp4", "libx264", "yuv420p"),
    {"preset": "veryfast", "crf": "20"},
    {"movflags": "+faststart"},
)
_WEBP = _Codec("webp", "libwebp_anim", "yuv420p", {"quality": "80"}, {"loop": "0"})
_GIF = _Codec("gif", "gif", "pal8", {}, {"loop": "0"})
_LOSSLESS = _Codec("matroska", "libx264rgb", "rgb24", {"preset": "ultrafast", "qp": "0"}, {})


def output_format(path: Path) -> Format:
    """The format that a file's name asks for.

    Raises:
        UsageError: it is none of .mp4, .gif and .webp, there is no such folder, or PyAV is not
            installed.
    """
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"{path}: name a .mp4, .gif or .webp file")
    if not os.path.isdir(path.parent):
        raise UsageError(f"{path}: no such directory: {path.parent}")
    require_encoder()
    return FORMATS[path.suffix.lower()]


def require_encoder() -> None:
    """Check that PyAV is installed.

    Raises:
        UsageError: it is not; names the extra.
    """
    require("av", "video", "videos need PyAV")


def write_video(images: Iterable[Image], fps: Fraction, path: Path) -> None:
    """Write a video file, whole or not at all.

    Args:
        images: (height, width, 3) each, of the same even height and width; an image may be
            overwritten once the next one is asked for.
        fps: frames a second.
        path: its suffix says which format.

    Raises:
        UsageError: as ``output_format``, or the file cannot be written.
        PoolrlError: the encoder failed.
    """
    encode = output_format(path).encode
    try:
        with replacing(path) as temporary:
            encode(images, fps, str(temporary))
    except OSError as error:  # PyAV's errors of files are OSErrors too
        raise UsageError(f"{path}: cannot write the video: {error.strerror or error}") from error
    except (ValueError, RuntimeError) as error:
        raise PoolrlError(f"{path}: cannot encode the video: {one_line(error)}") from error


def _write_mp4(images: Iterable[Image], fps: Fraction, path: str) -> None:
    _write(images, fps, path, _MP4)


def _write_webp(images: Iterable[Image], fps: Fraction, path: str) -> None:
    # Its times are whole milliseconds.
    _write(images, fps, path, _WEBP, Fraction(1, 1000))


def _write_gif(images: Iterable[Image], fps: Fraction, path: str) -> None:
    """Write a GIF with one palette of 256 colours that is made from all frames.

    The frames are needed twice, and are kept without loss in a temporary file: a minute of them is
    gigabytes in memory.
    """
    import av

    with tempfile.TemporaryDirectory(prefix="poolrl-") as folder:
        kept = os.path.join(folder, "frames")
        graph = av.filter.Graph()
        palette_of: Any = None

        def counted() -> Iterator[Image]:
            nonlocal palette_of
            for image in images:
                if palette_of is None:
                    palette_of = _palette_graph(graph, image)
                palette_of.push(_frame(image, 0, Fraction(1)))
                yield image

        _write(counted(), fps, kept, _LOSSLESS)
        graph.vpush(None)
        palette = graph.vpull()
        _write_with_palette(kept, palette, fps, path)


def _palette_graph(graph: Any, image: Image) -> Any:
    """A source of frames whose colours are counted; the palette leaves the graph at its end."""
    source = _source(graph, image.shape[1], image.shape[0], "rgb24", Fraction(1))
    count = graph.add("palettegen", "stats_mode=full")
    graph.link_nodes(source, count, graph.add("buffersink")).configure()
    return source


def _write_with_palette(kept: str, palette: av.VideoFrame, fps: Fraction, path: str) -> None:
    import av

    graph = av.filter.Graph()
    with av.open(kept) as container, _writer(path, _GIF, fps, Fraction(1, 100)) as write:
        stream = container.streams.video[0]
        size = stream.width, stream.height
        frames = _source(graph, *size, "rgb24", Fraction(1, 100))
        colors = _source(graph, palette.width, palette.height, palette.format.name, Fraction(1))
        # An ordered pattern stays where it is from frame to frame, and so compresses well.
        use = graph.add("paletteuse", "dither=bayer:bayer_scale=4:diff_mode=rectangle")
        frames.link_to(use, 0, 0)
        colors.link_to(use, 0, 1)
        use.link_to(graph.add("buffersink"))
        graph.configure()
        palette.pts, palette.time_base = 0, Fraction(1)
        colors.push(palette)
        colors.push(None)
        for number, frame in enumerate(container.decode(stream)):
            converted = frame.reformat(format="rgb24")
            converted.pts, converted.time_base = (
                _pts(number, fps, Fraction(1, 100)),
                Fraction(1, 100),
            )
            frames.push(converted)
            for done in _available(graph):
                write(done)
        frames.push(None)
        for done in _available(graph):
            write(done)


def _available(graph: Any) -> Iterator[Any]:
    """The frames that a graph has ready."""
    import av

    while True:
        try:
            yield graph.vpull()
        except (av.BlockingIOError, av.EOFError):
            return


def _source(graph: Any, width: int, height: int, pixels: str, time_base: Fraction) -> Any:
    import av

    return graph.add_buffer(
        width=width, height=height, format=av.VideoFormat(pixels), time_base=time_base
    )


def _write(
    images: Iterable[Image],
    fps: Fraction,
    path: str,
    codec: _Codec,
    time_base: Fraction | None = None,
) -> None:
    time_base = time_base or 1 / fps
    with _writer(path, codec, fps, time_base) as write:
        for number, image in enumerate(images):
            write(_frame(image, _pts(number, fps, time_base), time_base))


@contextmanager
def _writer(
    path: str, codec: _Codec, fps: Fraction, time_base: Fraction
) -> Iterator[Callable[[Any], None]]:
    """A function that encodes a frame into a file; the first one gives the size."""
    import av

    with av.open(
        path, "w", format=codec.container, container_options=codec.container_options
    ) as container:
        stream: Any = container.add_stream(codec.name, rate=fps, options=codec.options)
        stream.pix_fmt = codec.pixels
        stream.codec_context.time_base = time_base
        sized = False

        def write(frame: Any) -> None:
            nonlocal sized
            if not sized:
                stream.width, stream.height = frame.width, frame.height
                sized = True
            for packet in stream.encode(frame):
                container.mux(packet)

        yield write
        for packet in stream.encode(None):
            container.mux(packet)


def _frame(image: Image, pts: int, time_base: Fraction) -> Any:
    import av

    frame = av.VideoFrame.from_ndarray(image, format="rgb24")
    frame.pts, frame.time_base = pts, time_base
    return frame


def _pts(number: int, fps: Fraction, time_base: Fraction) -> int:
    """When a frame is shown, in units of ``time_base``."""
    return round(number / fps / time_base)


FORMATS = {
    ".mp4": Format(_write_mp4),
    # Its times are hundredths of a second, and browsers slow down what is shorter than two.
    ".gif": Format(_write_gif, Fraction(50)),
    ".webp": Format(_write_webp, Fraction(1000)),
}
"""Suffix -> how such files are written."""
