"""Files of figures and tables: their formats, and writing them whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from poolrl.errors import UsageError
from poolrl.files import replacing
from poolrl.report.drawing import drawing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("png", "svg", "pdf")
RESOLUTION = 110
"""Of .png files, in dots an inch."""


def file_format(output: Path, given: str | None, option: str = "-o") -> str:
    """Return the format of a file: that of its suffix.

    Args:
        output: a .png, .svg or .pdf file.
        given: the format that the user named; ``None`` for none.
        option: of the command line that names the file.

    Raises:
        UsageError: the suffix is another one, or not that of the given format.
    """
    own = output.suffix[1:].lower()
    if own not in FORMATS:
        raise UsageError(f"{option} {output}: name a .png, .svg or .pdf file")
    if given is not None and given != own:
        raise UsageError(f"--format {given}: {option} {output} is a .{own} file")
    if os.path.isdir(output):  # Path.is_dir raises in a folder that may not be searched
        raise UsageError(f"{option} {output}: is a folder")
    return own


def write_figures(
    names: Sequence[str],
    draw: Callable[[], Sequence[Figure]],
    output: Path,
    given: str | None,
    option: str = "-o",
) -> list[Path]:
    """Draw figures, then write them into one file, or one each into a folder.

    Args:
        names: of the figures, which are those of files in a folder.
        draw: draws them; called once the output is known to be a sensible one.
        output: one .png or .svg file for one figure, one .pdf file for any number; else a folder,
            which is made if it is missing.
        given: the format that the user named; by default that of the suffix, .png in a folder.
        option: of the command line that names the output.

    Returns:
        The files that were written.

    Raises:
        UsageError: the output does not suit, or cannot be written.
        PoolrlError: a figure cannot be drawn.
    """
    in_folder = len(names) > 1 and not output.suffix
    form = (given or FORMATS[0]) if in_folder else file_format(output, given, option)
    if len(names) > 1 and not in_folder and form != "pdf":
        raise UsageError(f"{option} {output}: all figures go into a folder, or into one .pdf file")
    with drawing():
        figures = draw()
        if in_folder:
            pictures = {
                output / f"{name}.{form}": picture([figure], form)
                for name, figure in zip(names, figures, strict=True)
            }
        else:
            pictures = {output: picture(figures, form)}
    try:
        if in_folder:
            output.mkdir(exist_ok=True)
        _write(pictures)
    except OSError as error:
        raise UsageError(f"{option} {output}: cannot write the plot: {error}") from error
    return list(pictures)


def write_table(text: str, output: Path, option: str) -> None:
    """Write a table beside figures, whole or not at all.

    Args:
        text: of the table.
        output: the file.
        option: of the command line that names it.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        _write({output: text.encode()})
    except OSError as error:
        raise UsageError(f"{option} {output}: cannot write the table: {error}") from error


def picture(figures: Sequence[Figure], form: str) -> bytes:
    """Return figures as the content of one file.

    Args:
        figures: several as pages of a .pdf; else one.
        form: of ``FORMATS``.
    """
    import matplotlib

    buffer = BytesIO()
    # Text stays text in .svg, and equal figures give equal files.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "poolrl"}):
        if form == "pdf":
            from matplotlib.backends.backend_pdf import PdfPages

            with PdfPages(buffer, metadata={"CreationDate": None}) as pages:
                for figure in figures:
                    figure.savefig(pages, format="pdf", dpi=2 * RESOLUTION)
        else:
            (figure,) = figures
            metadata = {"Date": None} if form == "svg" else None
            dots = RESOLUTION if form == "png" else 2 * RESOLUTION
            figure.savefig(buffer, format=form, dpi=dots, metadata=metadata)
    return buffer.getvalue()


def _write(pictures: Mapping[Path, bytes]) -> None:
    """Write files, all of them beside their places first, so that none is half there."""
    with ExitStack() as stack:
        for path, content in pictures.items():
            stack.enter_context(replacing(path)).write_bytes(content)
