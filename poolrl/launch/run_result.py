"""The result of a finished pool: history as CSV, plot, and a summary."""

from __future__ import annotations

from poolrl.formatting import duration
from poolrl.monitoring.history import History
from poolrl.pool.stop_criteria import StopCriteria
from poolrl.report.plot import plot_bytes


def write_result(
    history: History, stop_criteria: StopCriteria, seconds: float | None = None
) -> list[str]:
    """Write history and plot into the pool.

    Args:
        history: history of a finished pool, which has a merge and a closing record.
        stop_criteria: criteria of the run.
        seconds: duration of the run in seconds, if there was one.

    Returns:
        A summary for the user, as lines.
    """
    layout = history.pool.layout
    last, closing = history.merges[-1], history.closing
    assert closing is not None
    store = history.pool.store
    store.replace(layout.history, history.table().to_csv(index=False).encode())
    store.replace(layout.plot, plot_bytes(history))
    took = f"{duration(seconds)}, " if seconds is not None else ""
    lines = [
        f"ended after iteration {last.iteration}: {stop_criteria.reason(last)}; {took}"
        f"{last.environment_steps:,} environment steps, {last.training_steps:,} of them in "
        f"training; with a core a branch the pool would have taken "
        f"{duration(history.seconds_with_one_core_per_branch())}"
    ]
    if closing.evaluation is not None:
        evaluation = closing.evaluation
        lines.append(
            f"result: mean return {evaluation.score:.2f} ± {evaluation.standard_error:.2f} "
            f"(standard error) over {len(evaluation.returns)} episodes on reserved seeds"
        )
    else:
        lines.append(f"result: none, the closing evaluation failed: {closing.reason}")
    if last.rule == "no branch succeeded":
        reason = next((u.reason for u in reversed(history.units) if u.reason), "")
        lines.append(f"warning: no branch of the last iteration succeeded: {reason}")
    return [
        *lines,
        f"agent:   {layout.resolve(last.champion.path)}",
        f"history: {layout.history}",
        f"plot:    {layout.plot}",
    ]
