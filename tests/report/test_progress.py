"""Progress and plots."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from poolrl.errors import UsageError
from poolrl.monitoring.history import History
from poolrl.pool.directory import Pool
from poolrl.pool.stop_criteria import StopCriteria
from poolrl.report.plot import plot_history
from poolrl.report.progress import RunProgress
from poolrl.worker.loop import Worker


def test_a_line_an_iteration_and_none_twice(tiny_pool: Pool) -> None:
    out = io.StringIO()
    history = History(tiny_pool)
    with RunProgress(history, 3, None, Console(file=out)) as progress:
        for iterations in (1, 3):
            Worker(tiny_pool, StopCriteria(iterations)).run()
            for _ in range(2):
                history.refresh()
                progress.update()
    starts = [line.split(":")[0] for line in out.getvalue().splitlines()]
    assert starts == [f"iteration {i}/3" for i in range(4)]
    assert "steps/s" in out.getvalue()


def test_merges_that_are_seen_at_once_have_no_speed(tiny_pool: Pool) -> None:
    out = io.StringIO()
    history = History(tiny_pool)
    with RunProgress(history, 3, None, Console(file=out)) as progress:
        Worker(tiny_pool, StopCriteria(3)).run()
        history.refresh()
        progress.update()
    lines = out.getvalue().splitlines()
    assert [line.rpartition(", ")[2] for line in lines] == ["…"] * 4


def test_a_terminal_gets_a_bar(tiny_pool: Pool) -> None:
    out = io.StringIO()
    history = History(tiny_pool)
    console = Console(file=out, force_terminal=True, width=120)
    with RunProgress(history, 3, None, console) as progress:
        Worker(tiny_pool, StopCriteria(3)).run()
        history.refresh()
        progress.update()
    assert "iteration 3/3" in out.getvalue()


def test_a_pool_without_a_merge_cannot_be_drawn(tiny_pool: Pool, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no merged iteration"):
        plot_history(History(tiny_pool), tmp_path / "x.png")


def test_a_history_read_in_steps_is_the_whole_history(tiny_pool: Pool) -> None:
    stepwise = History(tiny_pool)
    for iterations in range(4):
        Worker(tiny_pool, StopCriteria(iterations)).run()
        stepwise.refresh()
    whole = History(tiny_pool)
    whole.refresh()
    assert [unit.unit for unit in stepwise.units] == [unit.unit for unit in whole.units]
    assert stepwise.merges == whole.merges
    assert stepwise.closing == whole.closing
    assert stepwise.table().equals(whole.table())
