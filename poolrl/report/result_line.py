"""The line that says what a pool's closing evaluation measured."""

from __future__ import annotations

from msgspec import UNSET

from poolrl.files import printable
from poolrl.formatting import count, decimals
from poolrl.records.evaluation import Evaluation


def result_line(evaluation: Evaluation) -> str:
    """Mean return of a closing evaluation, and the score that units are selected by, if it is
    another one."""
    score = ""
    if (selection := evaluation.selection) is not UNSET:
        value = "none"
        if selection.score is not None:
            value = f"{selection.score:.4g} ± {selection.standard_error:.2g}"
        score = f"{printable(selection.by)} {value}, "
    return (
        f"result: {score}mean return {decimals(evaluation.score)} ± "
        f"{decimals(evaluation.standard_error)} "
        f"(standard error) over {count(len(evaluation.returns), 'episode')} on reserved seeds"
    )
