"""``poolrl clips``: make, convert, cut and describe files of motion clips."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from poolrl.cli.options import FILE, F
from poolrl.errors import UsageError
from poolrl.interrupts import stoppable
from poolrl.output import json_text, results

if TYPE_CHECKING:
    from poolrl.clips import Clip
    from poolrl.clips.preprocess import Body
    from poolrl.clips.recordings import Recording

output_option = click.option(
    "-o", "--output", type=FILE, required=True, help="A .h5 file; it is replaced."
)
positive = click.FloatRange(min=0, min_open=True)
frames_option = click.option(
    "--frames-per-clip",
    type=click.IntRange(min=1),
    help="Frames of a clip in a flat file.  [default: its own]",
)


@click.group()
def command() -> None:
    """Make, convert, cut and describe files of motion clips.

    docs/clips.md describes the files.
    """


@command.command()
@output_option
@click.option(
    "--clips", type=click.IntRange(min=1), default=70, show_default=True, help="Number of clips."
)
@click.option(
    "--seconds", type=positive, default=5.0, show_default=True, help="Seconds of each clip."
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the movement."
)
@stoppable()
def synthesize(output: Path, clips: int, seconds: float, seed: int) -> None:
    """Record the position-controlled rat of dm_control under smooth control.

    The clips are synthetic: no animal moved so. They are labelled with one of several styles of
    movement, and what falls is not recorded. Equal options give equal clips.
    """
    from poolrl.clips import write_clips
    from poolrl.clips.synthesis import synthesize
    from poolrl.tasks.imitation.rodent import load_rodent

    body = _body(load_rodent(torque_actuators=False))
    made = synthesize(body, clips=clips, seconds=seconds, seed=seed)
    write_clips(output, _with_progress(made, clips), synthetic=True)
    click.echo(output, file=results())


@command.command()
@click.argument("file", type=FILE)
@frames_option
@click.option("--check", is_flag=True, help="Read and check all numbers too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@stoppable()
def info(file: Path, frames_per_clip: int | None, check: bool, as_json: bool) -> None:
    """Say what is in a file of clips, or of recordings that can be converted."""
    import msgspec

    from poolrl.clips.clip_file import DEFAULT_FPS
    from poolrl.clips.recordings import has_recordings, is_synthetic, read_recordings

    if has_recordings(file):
        rate = DEFAULT_FPS  # of the file, which does not say, and not shown
        recordings = read_recordings(file, fps=rate, frames_per_clip=frames_per_clip)
        found = _described_recordings(recordings, synthetic=is_synthetic(file))
    else:
        found = _described_clips(file, check)
    text = json_text(msgspec.json.encode(found)) if as_json else _table(found)
    click.echo(text, file=results())


def body_options(command: F) -> F:
    """Options of commands that need the body of recordings."""
    names = "NAME,NAME…"
    for option in (
        click.option("--tracked", metavar=names, help="Bodies to track.  [default: the rat's]"),
        click.option(
            "--appendages", metavar=names, help="End effectors, head last.  [default: the rat's]"
        ),
        click.option("--root", metavar="NAME", help="Root body.  [default: torso]"),
        click.option(
            "--body-scale", type=positive, help="Scale of dm_control's rat.  [default: 1.0]"
        ),
        click.option("--model", type=FILE, help="The body's MJCF.  [default: dm_control's rat]"),
    ):
        command = option(command)
    return command


@command.command()
@click.argument("file", type=FILE)
@output_option
@click.option(
    "--to",
    "layout",
    type=click.Choice(["clips", "flat"]),
    default="clips",
    show_default=True,
    help="clips: dm_control's layout, of recordings. flat: that of stac-mjx, of clips.",
)
@click.option(
    "--fps", type=positive, default=50.0, show_default=True, help="Frames per second of recordings."
)
@frames_option
@click.option(
    "--align-root", is_flag=True, help="Move the root to where the body has it, by the file's xpos."
)
@body_options
@stoppable()
def convert(
    file: Path,
    output: Path,
    layout: str,
    fps: float,
    frames_per_clip: int | None,
    align_root: bool,
    **options: Any,
) -> None:
    """Make clips of recordings, or recordings of clips.

    Recordings are flat files of stac-mjx and track-mjx, and sessions as pose/qpos. Velocities,
    centre of mass, end effectors and tracked bodies are computed by the body's model.
    """
    from poolrl.clips import ClipFile, write_clips
    from poolrl.clips.recordings import has_recordings, is_synthetic, read_recordings
    from poolrl.hdf5 import require_other

    require_other(output, file)
    if layout == "flat":
        from poolrl.clips.flat_file import write_flat

        with ClipFile(file) as source:
            write_flat(output, source, _chosen_body(**options))
    else:
        if not has_recordings(file):
            with ClipFile(file):
                raise UsageError(f"{file}: has clips already; --to flat makes recordings of them")
        recordings = read_recordings(file, fps=fps, frames_per_clip=frames_per_clip)
        clips = _converted(file, recordings, _chosen_body(**options), align=align_root)
        write_clips(output, clips, synthetic=is_synthetic(file))
    click.echo(output, file=results())


@command.command()
@click.argument("session", type=FILE)
@click.option("--times", type=FILE, required=True, help="CSV with columns start and label.")
@output_option
@click.option(
    "--seconds", type=positive, default=20.0, show_default=True, help="Seconds of each clip."
)
@stoppable()
def cut(session: Path, times: Path, output: Path, seconds: float) -> None:
    """Cut clips out of a session, at start times."""
    from poolrl.clips import ClipFile, write_clips
    from poolrl.clips.sessions import cut, read_times
    from poolrl.hdf5 import require_other

    require_other(output, session, times)
    parts = read_times(times)
    with ClipFile(session) as sessions:
        clips = cut(sessions, parts, times, seconds=seconds)
        write_clips(output, clips, synthetic=sessions.is_synthetic)
    click.echo(output, file=results())


def _chosen_body(
    model: Path | None,
    body_scale: float | None,
    root: str | None,
    appendages: str | None,
    tracked: str | None,
) -> Body:
    """The body that options name."""
    if model is not None and body_scale is not None:
        raise click.UsageError("--body-scale goes without --model")
    compiled = _rat(body_scale or 1.0) if model is None else _compiled(model)
    try:
        return _body(compiled, root, appendages, tracked)
    except UsageError as error:
        which = "" if model is None else f"--model {model}: "
        raise UsageError(f"{which}{error} (--root, --appendages, --tracked)") from error


def _rat(scale: float) -> Any:
    from poolrl.tasks.imitation.rodent import load_rodent

    try:
        return load_rodent(body_scale=scale)
    except UsageError as error:
        raise UsageError(str(error).replace("task.kwargs.body_scale", "--body-scale")) from error


def _compiled(path: Path) -> Any:
    import mujoco

    from poolrl.tasks.mujoco.callbacks import silence_warnings

    silence_warnings()
    try:
        return mujoco.MjModel.from_xml_path(str(path))
    except ValueError as error:
        raise UsageError(f"--model {path}: {' '.join(str(error).split())}") from error


def _body(
    model: Any, root: str | None = None, appendages: str | None = None, tracked: str | None = None
) -> Body:
    """A body; what is not named is as of the rat."""
    from poolrl.clips.preprocess import Body
    from poolrl.tasks.imitation.base import names_of
    from poolrl.tasks.imitation.rodent import END_EFFECTORS, ROOT_BODY, TRACKED_BODIES

    return Body(
        model,
        ROOT_BODY if root is None else root,
        END_EFFECTORS if appendages is None else names_of(appendages),
        TRACKED_BODIES if tracked is None else names_of(tracked),
    )


def _converted(
    path: Path, recordings: Iterator[Recording], body: Body, *, align: bool
) -> Iterator[Clip]:
    from poolrl.clips.preprocess import align_root, make_clip

    for recording in recordings:
        try:
            yield make_clip(align_root(recording, body) if align else recording, body)
        except UsageError as error:
            raise UsageError(f"{path}: {recording.name}: {error}") from error


def _with_progress(clips: Iterator[Clip], total: int) -> Iterator[Clip]:
    """Clips as they come, with a bar on a terminal."""
    from poolrl.report.console import progress_bar

    with progress_bar() as show:
        show(0, total)
        for done, clip in enumerate(clips, 1):
            yield clip
            show(done, total)


def _described_clips(path: Path, check: bool) -> dict[str, Any]:
    from poolrl.clips import ClipFile

    with ClipFile(path) as file:
        for index in range(len(file) if check else 0):
            file.read(index)
        first = file.infos[0]
        return {
            "layout": "clips",
            "fps": first.fps,
            "synthetic": file.is_synthetic,
            **first.counts,
            "labels": _by_label((each.label, each.num_frames) for each in file.infos),
        }


def _described_recordings(recordings: Iterator[Recording], *, synthetic: bool) -> dict[str, Any]:
    rows, widths = [], set()
    for each in recordings:
        rows.append((each.label, len(each.qpos)))
        widths.add(each.qpos.shape[1])
    return {
        "layout": "recordings",
        "nq": widths.pop(),
        "synthetic": synthetic,
        "labels": _by_label(rows),
    }


def _by_label(lengths: Iterable[tuple[str, int]]) -> dict[str, dict[str, int]]:
    """Numbers of clips and frames of each label."""
    labels: dict[str, list[int]] = {}
    for label, frames in lengths:
        labels.setdefault(label, []).append(frames)
    return {
        label: {
            "clips": len(each),
            "frames": sum(each),
            "shortest": min(each),
            "longest": max(each),
        }
        for label, each in labels.items()
    }


def _table(found: dict[str, Any]) -> str:
    synthetic = ", synthetic" * found["synthetic"]
    if found["layout"] == "recordings":
        head = [f"recordings of {found['nq']} generalised positions{synthetic}"]
    else:
        head = [
            f"clips, {found['fps']:g} frames a second{synthetic}",
            ", ".join(f"{found[count]} {count}" for count in ("joints", "appendages", "bodies")),
        ]
    columns = ("clips", "frames", "shortest", "longest")
    labels = found["labels"]
    total = {column: sum(each[column] for each in labels.values()) for column in columns[:2]}
    rows = [
        ("label", *columns),
        *((label or "(none)", *each.values()) for label, each in labels.items()),
    ]
    rows.append(("all", total["clips"], total["frames"], "", ""))
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for first, *others in cells:
        numbers = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        head.append("  ".join((first.ljust(widths[0]), *numbers)).rstrip())
    return "\n".join(head)
