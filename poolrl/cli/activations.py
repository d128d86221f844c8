"""``poolrl activations``: what a network computes over all clips, and figures of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from poolrl.cli import completion
from poolrl.cli.options import FILE, SIMULATIONS, network_option, own_task_options, trust_option
from poolrl.errors import UsageError
from poolrl.formatting import count
from poolrl.interrupts import stoppable
from poolrl.output import results

if TYPE_CHECKING:
    from poolrl.activations.file import ActivationsFile

BY_BODY, MAP = "--by-body", "--map"

FORMATS = ("png", "svg", "pdf")
"""Of figures."""


@click.command()
@click.argument(
    "source",
    metavar="AGENT_OR_POOL|FILE.h5",
    type=click.Path(path_type=Path),
    shell_complete=completion.agents,
)
@click.option("-o", "--output", type=FILE, help="A .h5 file; it is replaced.")
@click.option("--clips", type=FILE, help="Clips to play, of the same body.  [default: the task's]")
@click.option(
    BY_BODY, type=FILE, help="Errors by behaviour and body, as a .csv, .png, .svg or .pdf file."
)
@click.option(
    MAP, "latent_map", type=FILE, help="Latent variables by behaviour, as .png, .svg or .pdf."
)
@click.option(
    "--simulations", type=click.IntRange(min=1), default=64, show_default=True, help=SIMULATIONS
)
@own_task_options
@network_option
@trust_option
@stoppable()
def command(
    source: Path,
    output: Path | None,
    clips: Path | None,
    by_body: Path | None,
    latent_map: Path | None,
    **options: Any,
) -> None:
    """Play every clip of an imitation task once, and record what every layer of the agent's network
    computes, with states, infos and rewards.

    Actions are deterministic, and clips go on after a fall. docs/activations.md has the names in
    the file. With a file of activations instead of an agent, only its figures are drawn.
    """
    is_file = source.suffix.lower() in (".h5", ".hdf5")
    if is_file and (output is not None or clips is not None):
        raise click.UsageError(f"{source}: -o and --clips go with an agent")
    if is_file and by_body is None and latent_map is None:
        raise click.UsageError(f"{source}: name what to draw of it: {BY_BODY} or {MAP}")
    if not is_file and output is None:
        raise click.UsageError("name a file: -o activations.h5")
    _check(BY_BODY, by_body, ("csv", *FORMATS))
    _check(MAP, latent_map, FORMATS)
    if output is not None:
        _record(source, output, clips, options)
    with _opened(output or source) as file:
        if by_body is not None:
            _write_errors(file, by_body)
        if latent_map is not None:
            _write_map(file, latent_map)


def _check(option: str, path: Path | None, formats: Sequence[str]) -> None:
    """Refuse a file that cannot be written, before anything is played."""
    if path is None:
        return
    if path.suffix[1:].lower() not in formats:
        *first, last = (f".{form}" for form in formats)
        raise UsageError(f"{option} {path}: name a {', '.join(first)} or {last} file")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"{option} {path}: no such directory: {path.absolute().parent}")


def _is_table(path: Path) -> bool:
    return path.suffix.lower() == ".csv"


def _opened(path: Path) -> ActivationsFile:
    from poolrl.activations.file import ActivationsFile

    return ActivationsFile(path)


def _record(source: Path, output: Path, clips: Path | None, options: dict[str, Any]) -> None:
    from poolrl.activations.recording import record_activations
    from poolrl.cli.agents import permitted_world
    from poolrl.hdf5 import require_other
    from poolrl.render.agents import shown_agents
    from poolrl.report.console import progress_bar

    require_other(output, source)
    arguments = dict(options["arguments"])
    if clips is not None:
        arguments["clips"] = str(clips)
    (shown,) = shown_agents(source)
    agent = shown.agent
    named = options["task_id"], arguments, options["network"]
    with (
        permitted_world(agent, *named, trust=options["trust"]) as world,
        progress_bar() as progress,
    ):
        played = record_activations(
            agent, world, output, simulations=options["simulations"], progress=progress
        )
    click.echo(
        f"{output}: {count(played.clips, 'clip')} of {count(played.steps, 'control step')}, "
        f"{played.completed:,} imitated to the end",
        file=results(),
    )


def _write_errors(file: ActivationsFile, path: Path) -> None:
    from poolrl.report.figures import body_errors
    from poolrl.report.figures.output import write_figures, write_table

    found = file.labels, file.bodies, file.body_errors()
    if _is_table(path):
        write_table(body_errors.table(*found), path, BY_BODY)
    else:
        write_figures(["errors"], lambda: [body_errors.draw(*found)], path, None, BY_BODY)
    click.echo(path, file=results())


def _write_map(file: ActivationsFile, path: Path) -> None:
    from poolrl.report.figures import latent_map
    from poolrl.report.figures.output import write_figures

    latents, clips = file.latents()
    try:
        plane = latent_map.plane_of(latents)
    except UsageError as error:
        raise UsageError(f"{file.path}: {error}") from error
    write_figures(["map"], lambda: [latent_map.draw(file.labels, plane, clips)], path, None, MAP)
    click.echo(path, file=results())
