"""Options that a run may choose each time: ``RunOptions``, each documented where it is declared.

The command line makes its options from this declaration, and a launcher hands all of them to its
workers as one argument of JSON.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta

from poolrl.config.types import Count, Positive, Section, Text
from poolrl.config.validation import convert
from poolrl.errors import UsageError

_LAST = re.compile(r"last:([1-9]\d{0,8})")


@dataclass(frozen=True)
class RetentionRule:
    """How long the agents that no merge named champion stay; champions are never removed.

    Attributes:
        iterations: number of the newest merged iterations that keep all their agents; ``None`` for
            all iterations.
    """

    iterations: int | None = 0

    @classmethod
    def parse(cls, text: str) -> RetentionRule:
        """Parse ``champions``, ``last:N`` or ``all``.

        Raises:
            UsageError: it is none of them.
        """
        if text == "champions":
            return cls(0)
        if text == "all":
            return cls(None)
        match = _LAST.fullmatch(text)
        if match is None:
            raise UsageError(
                f"expected champions, all or last:N with N from 1 to 999999999, got {text!r}"
            )
        return cls(int(match[1]))

    def newest_expired(self, newest: int) -> int:
        """The newest iteration that keeps its champion alone; negative if there is none.

        Args:
            newest: the newest merged iteration.
        """
        return -1 if self.iterations is None else newest - self.iterations


class Option(NamedTuple):
    """How the command line shows a field of ``RunOptions``: as ``--name-of-the-field``.

    Attributes:
        kind: how its text is parsed.
        help: the line of ``--help``.
    """

    kind: Literal["integer", "number", "return", "duration", "retention rule", "flag", "folder"]
    help: str


class RunOptions(Section, frozen=True):
    """Options that each run may choose; none affects the result of a unit of work."""

    iterations: Annotated[
        int, Meta(ge=0, le=999_999_999), Option("integer", "End after this iteration.")
    ] = 100
    """The last iteration; a larger number extends a finished pool."""
    workers: Annotated[
        Annotated[int, Meta(ge=1, le=10_000)] | None,
        Option("integer", "Local workers.  [default: usable cores]"),
    ] = None
    """Local workers; by default one per core that this process may use, at most one per branch."""
    threads: Annotated[
        Annotated[int, Meta(ge=1, le=10_000)] | None,
        Option("integer", "Threads of each worker.  [default: cores / workers]"),
    ] = None
    """Threads that step the simulations of each worker, for tasks on `mujoco.batch`; results do not
    depend on them. By default the cores that the workers leave, at most one per simulation; in a
    task of an array the cores of that task."""
    later_threads: Annotated[
        Annotated[int, Meta(ge=1, le=10_000)] | None,
        Option("integer", "The same after the first iteration, for pool.later_count."),
    ] = None
    """Threads after the first iteration, where `pool.later_count` leaves more cores to each branch.
    By default `poolrl run` shares them out again, unless `threads` is given; other workers go on
    with as many as before."""
    replay_folder: Annotated[
        Text | None, Option("folder", "Keep replays in files here, instead of in memory.")
    ] = None
    """Folder, on a local disk of each machine, for the files without a name that the replays of
    learners such as MPO are mapped to; by default they are in memory."""
    keep: Annotated[
        str, Option("retention rule", "Agents that stay on disk.  [default: champions]")
    ] = "champions"
    """Retention of agents on disk after the merge: only champions (`champions`), also all agents of
    the last N iterations (`last:N`), or `all`."""
    target_return: Annotated[
        float | None,
        Option("return", "End once the champion reaches this return, or the task's own threshold."),
    ] = None
    """End with the iteration in which the parent's evaluation, an unbiased measurement of the last
    champion, reaches this return; that iteration's champion is the result. On the
    command line, `threshold` is the `reward_threshold` that the task is registered with."""
    target_score: Annotated[
        float | None,
        Option("number", "End once the champion reaches this selection.score."),
    ] = None
    """The same for the score that units are selected by, `selection.score`, if that is not the
    return: at or above it, or at or below it with `selection.direction = "min"`."""
    time_budget: Annotated[Positive | None, Option("duration", "End after 90s, 10m, 2h.")] = None
    """End after this many seconds."""
    branch_timeout: Annotated[
        Positive | None,
        Option("duration", "Go on without branches that were claimed so long ago: 90s, 10m, 2h."),
    ] = None
    """Seconds since its claim after which an iteration is merged without a unit that is not
    deposited. The result then depends on timing, and the merge says so."""
    min_deposits: Annotated[
        Count, Option("integer", "Branches that must have succeeded before that.")
    ] = 1
    """Branches that must have succeeded before an iteration is merged without the others."""
    stall_timeout: Annotated[
        Positive,
        Option("duration", "End, with exit code 3, if nothing is new for so long.  [default: 1d]"),
    ] = 86_400.0
    """Seconds without anything new in the pool after which its workers end, with exit code 3."""
    max_failed_iterations: Annotated[
        Count,
        Option(
            "integer",
            "End after so many iterations without a branch that succeeded.  [default: 5]",
        ),
    ] = 5
    """Consecutive iterations without a successful branch after which the pool ends."""
    video_every: Annotated[
        int,
        Meta(ge=0, le=999_999_999),
        Option("integer", "Video of the champion every so many iterations.  [default: 0, never]"),
    ] = 0
    """Iterations between videos of the champion, which one process of low priority of `poolrl run`
    writes into the pool's folder `videos`; 0 for none. Where it falls behind it goes on with the
    newest one."""
    tensorboard: Annotated[
        bool, Option("flag", "Log to TensorBoard, in the pool's folder tensorboard.")
    ] = False
    """Whether `poolrl run` logs to TensorBoard, into the pool's folder `tensorboard`; `poolrl log
    POOL --tensorboard DIR` does so from outside."""

    def __post_init__(self) -> None:
        try:
            RetentionRule.parse(self.keep)
        except UsageError as error:
            raise UsageError(f"run.keep: {error}") from None


def check_min_deposits(run: RunOptions, count: int) -> None:
    """Check that an iteration can have as many branches as a merge without the others needs.

    Args:
        run: options that were given, not those of a pool of an earlier version.
        count: branches of an iteration.

    Raises:
        UsageError: it has fewer, so that ``branch_timeout`` would never end the wait for one.
    """
    if run.min_deposits > count:
        raise UsageError(
            f"run.min_deposits: {run.min_deposits} branches, of an iteration that has {count}"
        )


def check_targets(run: RunOptions) -> None:
    """Check that scores can reach the targets, which they never do if one is NaN.

    Args:
        run: options that were given, not those of a pool of an earlier version.

    Raises:
        UsageError: one of them is NaN.
    """
    for name in ("target_return", "target_score"):
        if math.isnan(getattr(run, name) or 0.0):
            raise UsageError(f"run.{name}: expected a number, got nan")


def encode(run: RunOptions) -> str:
    """Encode options as one line of JSON, with ``Infinity`` and ``NaN`` as Python writes them."""
    return json.dumps(msgspec.to_builtins(run))


def decode(text: str) -> RunOptions:
    """Decode and validate what ``encode`` returned.

    Raises:
        UsageError: the text is not JSON, or names the key with an unknown name or invalid value.
    """
    try:
        table = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--run-options: not valid JSON: {error}") from error
    return convert(table, RunOptions, "--run-options")
