"""Defects that are planted in a server, to see that the harness finds them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from poolrl.records.records import AgentRef, UnitRecord
from poolrl.records.work_units import Unit
from poolrl.storage import store
from poolrl.storage.deposits import Archive


def write_in_place() -> None:
    """Files grow under their final names."""

    def publish(path: Path, data: bytes) -> bool:
        if path.exists():
            return path.read_bytes() == data
        path.write_bytes(data)
        return True

    store.publish = publish


def record_first() -> None:
    """A record appears before the agent that it names."""
    publish_agent, publish_record = Archive.publish_agent, Archive.publish_record
    waiting: list[tuple[Unit, bytes]] = []

    def hold_back(self: Archive, unit: Unit, data: bytes) -> AgentRef:
        reference = publish_agent(self, unit, data)
        (self._layout.root / reference.path).unlink()
        waiting.append((unit, data))
        return reference

    def publish(self: Archive, record: UnitRecord) -> None:
        publish_record(self, record)
        while waiting:
            publish_agent(self, *waiting.pop())

    Archive.publish_agent = hold_back  # type: ignore[method-assign]
    Archive.publish_record = publish  # type: ignore[method-assign]


def take_errors_for_absence() -> None:
    """What cannot be read for now is taken to be missing."""

    def read_if_there(path: Path, most: int = 0) -> bytes | None:
        try:
            return path.read_bytes()
        except OSError:
            return None

    store.read_if_there = read_if_there


def try_once() -> None:
    """No call is made again."""
    store._TRIES = 1


PLANTS: dict[str, Callable[[], None]] = {
    plant.__name__: plant
    for plant in (write_in_place, record_first, take_errors_for_absence, try_once)
}
