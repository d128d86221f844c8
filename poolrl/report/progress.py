"""Progress of a run: a progress bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from poolrl.formatting import decimals, duration
from poolrl.monitoring.history import History
from poolrl.records.records import MergeRecord

WINDOW = 10
"""Number of times that merges were seen, over which the speed is averaged."""


class RunProgress:
    """Shows iterations as they are merged."""

    def __init__(
        self, history: History, iterations: int, deadline: float | None, console: Console
    ) -> None:
        """
        Args:
            history: refreshed by the caller.
            iterations: number of the last iteration of the run.
            deadline: Unix time at which the run ends at the latest, if there is one.
            console: to write to; of ``report.console.make_console``.
        """
        self._history = history
        self._iterations = iterations
        self._deadline = deadline
        self._console = console
        self._shown = history.merges[-1].iteration if history.merges else -1
        self._times: list[tuple[float, MergeRecord]] = []
        self._bar = Progress(
            TextColumn("iteration {task.completed}/{task.total}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
            console=console,
            disable=not console.is_interactive,
        )
        self._task = self._bar.add_task(
            "starting workers", total=iterations, completed=max(0, self._shown)
        )

    def __enter__(self) -> RunProgress:
        self._bar.start()
        if self._history.merges:
            self._times.append((time.monotonic(), self._history.merges[-1]))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def update(self) -> None:
        """Show the merges since the last call."""
        new = [merge for merge in self._history.merges if merge.iteration > self._shown]
        if new:  # what is seen at once was not made at once: one time for all of them
            self._times = [*self._times[-WINDOW:], (time.monotonic(), new[-1])]
        for merge in new:
            self._shown = merge.iteration
            self._show(merge)

    def _show(self, merge: MergeRecord) -> None:
        text = f"score {_number(merge.champion.score)}, {self._speed()}"
        self._bar.update(self._task, completed=merge.iteration, description=text)
        if not self._console.is_interactive:
            again = _number(merge.parent_score)
            self._console.print(
                f"iteration {merge.iteration}/{self._iterations}: "
                f"champion's score {_number(merge.champion.score)} ({merge.rule}; "
                f"the previous champion re-evaluated: {again}), "
                f"{merge.environment_steps:,} steps, {self._speed()}",
                highlight=False,
                soft_wrap=True,
            )

    def _speed(self) -> str:
        if len(self._times) < 2:
            return "…"
        (start, first), (end, last) = self._times[0], self._times[-1]
        seconds = max(1e-9, end - start)
        steps = (last.environment_steps - first.environment_steps) / seconds
        left = (self._iterations - last.iteration) * seconds / (last.iteration - first.iteration)
        if self._deadline is not None:
            left = min(left, self._deadline - time.time())
        return f"{steps:,.0f} steps/s, {duration(left)} left"


def _number(value: float | None) -> str:
    return "–" if value is None else decimals(value)
