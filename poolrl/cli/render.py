"""``poolrl render``: make a video of an agent, or of a pool's champions."""

from __future__ import annotations

import os
import re
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from poolrl.cli.options import FILE, network_option, own_task_options, trust_option
from poolrl.interrupts import stoppable
from poolrl.output import results

if TYPE_CHECKING:
    from poolrl.render.agents import ShownAgent
    from poolrl.render.recording import Recording


class Size(click.ParamType[tuple[int, int]]):
    """Width and height in pixels: 480x360."""

    name = "widthxheight"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        from poolrl.render.clips import MAX_SIZE

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
@click.argument("agent_or_pool", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=FILE, required=True, help="A .mp4, .gif or .webp file.")
@click.option("--episodes", type=click.IntRange(1, 1000), default=1, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--stochastic", is_flag=True, help="Sample actions instead of playing their mean.")
@click.option("--size", type=Size(), help="Of each panel.  [default: 480x360]")
@click.option("--fps", type=FrameRate(), help="Frames a second.  [default: one a control step]")
@click.option(
    "--quality",
    type=click.Choice(["fast", "full"]),
    default="fast",
    show_default=True,
    help="fast: without shadows, reflections and smoothed edges.",
)
@click.option("--camera", metavar="NAME", help="Of the model's.  [default: track]")
@click.option("--iterations", metavar="0,10,last", help="Champions of a pool.  [default: last]")
@click.option("--side-by-side", is_flag=True, help="Iterations, or else episodes, in panels.")
@own_task_options
@network_option
@trust_option
@stoppable()
def command(
    agent_or_pool: Path,
    output: Path,
    episodes: int,
    seed: int,
    stochastic: bool,
    iterations: str | None,
    task_id: str | None,
    network: str | None,
    arguments: tuple[tuple[str, Any], ...],
    trust: bool,
    **look: Any,
) -> None:
    """Make a video of an agent file, or of the newest champion of a pool.

    The episodes are those of `poolrl evaluate` with the same --episodes and --seed. They are shown
    in real time, one after another.
    """
    from poolrl.render.agents import shown_agents
    from poolrl.render.backend import working_backend
    from poolrl.render.encode import output_format
    from poolrl.render.video import VideoOptions, make_video

    output_format(output)  # before anything is played
    if os.environ.get("MUJOCO_GL"):
        working_backend()  # the import of MuJoCo, for the physics alone, reads it too
    options = VideoOptions(**look, task=task_id)
    agents = shown_agents(agent_or_pool, iterations)
    recordings = [
        _played(shown, episodes, seed, task_id, dict(arguments), network, stochastic, trust)
        for shown in agents
    ]
    video = make_video(agents, recordings, output, options)
    for shown, recording in zip(agents, recordings, strict=True):
        of = "" if shown.iteration is None else f"iteration {shown.iteration}: "
        values = ", ".join(f"{value:.2f}" for value in recording.returns)
        click.echo(f"{of}return{'s' if episodes > 1 else ''} {values}", file=results())
    seconds = float(len(video.sequence) / video.fps)
    click.echo(
        f"{output}: {len(video.sequence)} frames, {seconds:.1f} s at {float(video.fps):.4g} "
        "frames a second",
        file=results(),
    )


def _played(
    shown: ShownAgent,
    episodes: int,
    seed: int,
    task_id: str | None,
    arguments: dict[str, Any],
    network: str | None,
    stochastic: bool,
    trust: bool,
) -> Recording:
    from poolrl import tasks
    from poolrl.cli.agents import permitted_world
    from poolrl.networks import permissions
    from poolrl.render.recording import record

    agent = shown.agent
    world = permitted_world(agent, task_id, arguments, network, trust=trust)
    with tasks.blamed(world), permissions.blamed(agent.metadata.network):
        return record(agent, world, episodes, seed, deterministic=not stochastic)
