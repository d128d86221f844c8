"""The window of a shared replay: which chunks the branches after a merge learn from."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET

from poolrl.config.mpo import MPO
from poolrl.config.schema import Spec
from poolrl.records.records import MergeRecord, ReplayChunk, UnitRecord


def window_size(spec: Spec) -> int:
    """Transitions of the window of a pool; 0 where branches share none."""
    return spec.learner.replay_window if isinstance(spec.learner, MPO) else 0


def next_window(
    previous: MergeRecord | None, deposits: Sequence[UnitRecord], size: int
) -> tuple[ReplayChunk, ...]:
    """The window before, and then the chunks of the branches of an iteration that succeeded, in the
    order of their indices, without the oldest ones that a window of this size does not need.

    Args:
        previous: merge of the previous iteration; ``None`` for iteration 0.
        deposits: records of the iteration's units.
        size: in transitions; the last chunk stays, however large.
    """
    new = [
        ReplayChunk(
            iteration=record.iteration,
            index=record.index,
            transitions=record.training.environment_steps,
            sha256=record.replay_sha256,
        )
        for record in sorted(deposits, key=lambda record: record.index)
        if record.kind == "branch"
        and record.status == "done"
        and record.replay_sha256 is not UNSET
        and record.training is not None
    ]
    window = [*(previous.window if previous is not None else ()), *new]
    total = sum(chunk.transitions for chunk in window)
    while len(window) > 1 and total - window[0].transitions >= size:
        total -= window.pop(0).transitions
    return tuple(window)
