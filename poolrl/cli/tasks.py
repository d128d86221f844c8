"""``poolrl tasks``: list the tasks, or describe one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from poolrl.cli import completion
from poolrl.interrupts import stoppable
from poolrl.output import json_text, results

if TYPE_CHECKING:
    from poolrl.tasks.listing import Description, Entry

UNKNOWN = "follows from the arguments"


@click.command()
@click.argument("task_id", metavar="[ID]", required=False, shell_complete=completion.tasks)
@click.option("--all", "everything", is_flag=True, help="List adapted tasks too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@stoppable()
def command(task_id: str | None, everything: bool, as_json: bool) -> None:
    """List the tasks that there are, or describe one.

    ID may be any that `poolrl run --task` takes. A user's own task is run to be described.
    """
    import msgspec

    from poolrl import tasks
    from poolrl.config.schema import World
    from poolrl.tasks import listing

    found: Description | list[Entry]
    if task_id is not None:
        found = listing.describe(tasks.permit(World(id=task_id), task_id))
        text = _described(found)
    else:
        found = listing.entries(everything=everything)
        text = _table(found)
        if not everything:
            text += f"\n\n--all lists what is adapted: {_families(listing.families())}"
    shown = json_text(msgspec.json.encode(found)) if as_json else text
    click.echo(shown, file=results())


def _table(entries: list[Entry]) -> str:
    rows = [("id", "observation", "action", "time limit", "")]
    for entry in entries:
        note = entry.origin
        if entry.missing:
            note += f", not installed: pip install '{entry.missing}'"
        size, limit = entry.observation_size, entry.max_episode_steps
        rows.append((entry.id, str(size or ""), entry.action or "", str(limit or ""), note))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(map(str.ljust, row, widths)).rstrip()  # the last column may be empty
        for row in rows
    )


def _described(task: Description) -> str:
    lines = [
        task.id,
        f"  {task.summary}",
        "",
        f"  from         {task.origin}",
        f"  observation  {task.observation or UNKNOWN}",
        f"  action       {task.action or UNKNOWN}",
        f"  time limit   {_limit(task.max_episode_steps)}",
    ]
    if task.needs:
        lines.append(f"  needs        {task.needs}")
    if task.arguments:
        lines += ["", "  arguments (--task-arg NAME=VALUE)"]
        lines += [f"    {name}: {text}" for name, text in task.arguments.items()]
    return "\n".join(lines)


def _limit(steps: int | None) -> str:
    return f"{steps} steps" if steps else "none of its own: --set task.max_episode_steps=STEPS"


def _families(families: dict[str, str]) -> str:
    return ", ".join(
        f"{name} (not installed: pip install '{extra}')" if extra else name
        for name, extra in families.items()
    )
