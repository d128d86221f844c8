"""``poolrl render``: make a video of an agent, or of a pool's champions."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from poolrl.cli import completion
from poolrl.cli.options import FILE, network_option, own_task_options, trust_option
from poolrl.errors import Stopped
from poolrl.formatting import decimals
from poolrl.interrupts import InterruptHandler, stoppable
from poolrl.output import results

if TYPE_CHECKING:
    from poolrl.render.agents import ShownAgent
    from poolrl.render.recording import Recording

DEFAULT_EVERY = 10
"""Iterations between videos of a pool whose run names no number."""

LOWEST_PRIORITY = 19
"""Increment of the niceness of a process that follows a pool: training comes first."""


class Size(click.ParamType[tuple[int, int]]):
    """Width and height in pixels: 480x360."""

    name = "widthxheight"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        from poolrl.render.job import MAX_SIZE

        match = re.fullmatch(r"(\d{1,6})[x×](\d{1,6})", str(value))
        if match is None:
            self.fail(f"{value!r}: write WIDTHxHEIGHT, as in 480x360", param, ctx)
        width, height = int(match[1]), int(match[2])
        if not (16 <= width <= MAX_SIZE and 16 <= height <= MAX_SIZE):
            self.fail(f"{value!r}: expected 16 to {MAX_SIZE} pixels", param, ctx)
        return width, height


class FrameRate(click.ParamType[Fraction]):
    """Frames a second: 30, 29.97 or 30000/1001."""

    name = "number"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Fraction:
        try:
            rate = Fraction(str(value)).limit_denominator(100_000)
        except (ValueError, ZeroDivisionError):
            self.fail(f"{value!r} is no number", param, ctx)
        if not 1 <= 100 * rate <= 100_000:
            self.fail(f"{value!r}: expected 0.01 to 1000 frames a second", param, ctx)
        return rate


@click.command()
@click.argument("agent_or_pool", type=click.Path(path_type=Path), shell_complete=completion.agents)
@click.option("-o", "--output", type=FILE, help="A .mp4, .gif or .webp file.")
@click.option(
    "--episodes",
    type=click.IntRange(1, 100),
    default=1,
    show_default=True,
    help="Number of episodes.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the episodes."
)
@click.option("--stochastic", is_flag=True, help="Sample actions instead of playing their mean.")
@click.option(
    "--exploration", is_flag=True, help="Of a pool: explore as its training does, by [exploration]."
)
@click.option("--ghost", is_flag=True, help="Show the movement that is imitated, translucent.")
@click.option("--size", type=Size(), help="Pixels of each panel.  [default: 480x360]")
@click.option("--fps", type=FrameRate(), help="Frames per second.  [default: one a control step]")
@click.option(
    "--quality",
    type=click.Choice(["fast", "full"]),
    default="fast",
    show_default=True,
    help="fast: without shadows, reflections and smoothed edges.",
)
@click.option("--camera", metavar="NAME", help="Camera of the model.  [default: track]")
@click.option("--iterations", metavar="0,10,last", help="Champions of a pool.  [default: last]")
@click.option("--side-by-side", is_flag=True, help="Iterations, or else episodes, in panels.")
@click.option("--follow", is_flag=True, help="Make videos as a pool trains, in its folder videos.")
@click.option(
    "--every", type=click.IntRange(1, 999_999_999), help="Iterations between videos of --follow."
)
@click.option("--attached", is_flag=True, hidden=True)
@own_task_options
@network_option
@trust_option
def command(
    agent_or_pool: Path,
    output: Path | None,
    iterations: str | None,
    follow: bool,
    every: int | None,
    attached: bool,
    **options: Any,
) -> None:
    """Make a video of an agent file, or of the newest champion of a pool.

    The episodes are those of `poolrl evaluate` with the same --episodes and --seed, unless
    --exploration is given. They are shown in real time, one after another.

    With --follow, the champion of every tenth iteration becomes a video in the pool's folder, until
    the pool ends; where several are due, the newest one alone.
    """
    if follow:
        if output is not None or iterations is not None:
            raise click.UsageError("--follow goes without -o and --iterations")
        _follow(agent_or_pool, every, attached, options)
        return
    if output is None:
        raise click.UsageError("name a file: -o swim.mp4, .gif or .webp")
    if every is not None:
        raise click.UsageError("--every goes with --follow alone")
    _make(agent_or_pool, iterations, output, options)


@stoppable()
def _make(path: Path, iterations: str | None, output: Path, options: dict[str, Any]) -> None:
    from poolrl.render.agents import shown_agents

    _check(output)
    _render(shown_agents(path, iterations), output, options)


def _follow(path: Path, every: int | None, attached: bool, options: dict[str, Any]) -> None:
    """Make videos of a pool's champions as they come, at low priority."""
    import logging

    from poolrl.pool.directory import open_pool
    from poolrl.render.follow import follow, has_ended

    interrupts = InterruptHandler()
    interrupts.install()
    logging.basicConfig(level=logging.WARNING, format="poolrl: %(message)s")
    os.nice(LOWEST_PRIORITY)
    pool = open_pool(Path(os.path.abspath(path)))  # a task may change the directory
    finishing = threading.Event()
    if attached:
        threading.Thread(target=_read_stdin, args=(interrupts, finishing), daemon=True).start()
    with interrupts.interruptible():
        _check(None)
        follow(
            pool,
            every or pool.run.video_every or DEFAULT_EVERY,
            lambda shown, output: _render([shown], output, options),
            sleep=finishing.wait,  # or the run would wait for the end of a sleep
            is_over=finishing.is_set if attached else lambda: has_ended(pool),
        )


def _read_stdin(interrupts: InterruptHandler, finishing: threading.Event) -> None:
    """Note that the pool has ended, or request the end of this process once the one that started it
    is gone."""
    while os.read(0, 1024):
        finishing.set()
    if not finishing.is_set():
        interrupts.request_stop(Stopped(75, "the process that started this one has ended"))


def _check(output: Path | None) -> None:
    """Refuse what can be refused before anything is played.

    Args:
        output: the file; ``None`` for those of a pool's own folder.
    """
    from poolrl.render.backend import working_backend
    from poolrl.render.encode import output_format, require_encoder

    if output is None:
        require_encoder()
    else:
        output_format(output)
    if os.environ.get("MUJOCO_GL"):
        working_backend()  # the import of MuJoCo, for the physics alone, reads it too


def _render(agents: Sequence[ShownAgent], output: Path, options: dict[str, Any]) -> None:
    """Play, draw and encode; print the returns."""
    from poolrl.render.video import VideoOptions, make_video

    look = ("size", "fps", "quality", "camera", "side_by_side")
    looks = VideoOptions(**{name: options[name] for name in look}, task=options["task_id"])
    recordings = [_record(shown, options) for shown in agents]
    video = make_video(agents, recordings, output, looks)
    for shown, recording in zip(agents, recordings, strict=True):
        of = "" if shown.iteration is None else f"iteration {shown.iteration}: "
        values = ", ".join(decimals(value) for value in recording.returns)
        noun = "return" if len(recording.returns) == 1 else "returns"
        click.echo(f"{of}{noun} {values}", file=results())
    seconds = float(len(video.sequence) / video.fps)
    click.echo(
        f"{output}: {len(video.sequence)} frames, {seconds:.1f} s at {float(video.fps):.4g} "
        "frames a second",
        file=results(),
    )


def _record(shown: ShownAgent, options: dict[str, Any]) -> Recording:
    from poolrl.cli.agents import permitted_world
    from poolrl.render.agents import exploration_of
    from poolrl.render.recording import record
    from poolrl.rollouts.evaluation import NO_EXPLORATION

    agent = shown.agent
    exploration = exploration_of(shown) if options["exploration"] else NO_EXPLORATION
    named = options["task_id"], dict(options["arguments"]), options["network"]
    with permitted_world(agent, *named, trust=options["trust"]) as world:
        return record(
            *(agent, world, options["episodes"], options["seed"]),
            deterministic=not options["stochastic"],
            exploration=exploration,
            ghost=options["ghost"],
        )
