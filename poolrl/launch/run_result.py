"""The result of a finished pool: a summary, history as CSV, and plot."""

from __future__ import annotations

from collections.abc import Iterator

from poolrl.errors import PoolrlError
from poolrl.formatting import duration
from poolrl.monitoring.history import History
from poolrl.pool.stop_criteria import StopCriteria
from poolrl.records.records import MergeRecord, UnitRecord
from poolrl.report.plot import plot_bytes
from poolrl.report.result_line import result_line


def end_of_run(history: History, stop_criteria: StopCriteria) -> MergeRecord | None:
    """The newest merge that may end a run and has its closing evaluation; ``None`` without one.

    The pool's newest merge is a later one where another run goes on with the pool.

    Args:
        history: of the pool.
        stop_criteria: criteria of the run.
    """
    for merge in reversed(history.merges):
        if stop_criteria.reason(merge) is not None and _closing(history, merge) is not None:
            return merge
    return None


def write_result(
    history: History,
    last: MergeRecord,
    stop_criteria: StopCriteria,
    seconds: float | None = None,
) -> Iterator[str]:
    """Yield a summary for the user, then write history and plot into the pool.

    Args:
        history: history of the pool.
        last: the merge that the run ended with, which has its closing evaluation.
        stop_criteria: criteria of the run.
        seconds: duration of the run in seconds, if there was one.

    Yields:
        Lines, each when what it says is true. A plot that cannot be drawn is one of them.

    Raises:
        PoolrlError: the history cannot be written.
    """
    layout = history.pool.layout
    closing = _closing(history, last)
    assert closing is not None
    took = f"{duration(seconds)}, " if seconds is not None else ""
    yield (
        f"ended after iteration {last.iteration}: {stop_criteria.reason(last)}; {took}"
        f"{last.environment_steps:,} environment steps, {last.training_steps:,} of them in "
        f"training; with a core a branch the pool would have taken "
        f"{duration(history.seconds_with_one_core_per_branch())}"
    )
    if closing.evaluation is not None:
        yield result_line(closing.evaluation)
    else:
        yield f"result: none, the closing evaluation failed: {closing.reason}"
    if last.rule == "no branch succeeded":
        reason = next((u.reason for u in reversed(history.units) if u.reason), "")
        yield f"warning: no branch of the last iteration succeeded: {reason}"
    if last.rule == "mean not finite":
        yield "warning: the mean of the last iteration's branches was not finite"
    yield f"agent:   {layout.resolve(last.result.path)}"
    store = history.pool.store
    store.replace(layout.history, history.table().to_csv(index=False).encode())
    yield f"history: {layout.history}"
    try:
        store.replace(layout.plot, plot_bytes(history))
    except PoolrlError as error:
        yield f"warning: no plot: {error}"
    else:
        yield f"plot:    {layout.plot}"


def _closing(history: History, merge: MergeRecord) -> UnitRecord | None:
    closings = (unit for unit in history.units if unit.kind == "closing")
    return next((unit for unit in closings if unit.iteration == merge.iteration), None)
