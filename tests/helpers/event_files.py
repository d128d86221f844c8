"""Read the event files of TensorBoard."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from poolrl.monitoring.history import History
from poolrl.report.scalars import Position, scalars


def read(accumulator: EventAccumulator) -> Counter[tuple[str, int]]:
    """How many values TensorBoard has, by key and step."""
    tags = accumulator.Tags()["scalars"]
    return Counter((tag, event.step) for tag in tags for event in accumulator.Scalars(tag))


def accumulate(folder: Path) -> EventAccumulator:
    """TensorBoard's own reader, which samples nothing."""
    return EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()


def expected(history: History) -> Counter[tuple[str, int]]:
    points = scalars(history, Position())
    return Counter((key, point.step) for point in points for key in point.values)
