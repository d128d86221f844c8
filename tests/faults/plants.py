"""Defects that are planted in a server, to test that the harness finds them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from poolrl.records.records import AgentRef, UnitRecord
from poolrl.records.work_units import Unit
from poolrl.storage import plain_files
from poolrl.storage.deposits import DepositStore
from poolrl.storage.store import Store


def write_in_place() -> None:
    """Files are written under their final names."""

    def publish(self: Store, path: Path, data: bytes) -> bool:
        if path.exists():
            return path.read_bytes() == data
        path.write_bytes(data)
        return True

    Store.publish = publish  # type: ignore[method-assign]


def record_first() -> None:
    """A record is published before its agent."""
    publish_agent, publish_record = DepositStore.publish_agent, DepositStore.publish_record
    waiting: list[tuple[Unit, bytes]] = []

    def hold_back(self: DepositStore, unit: Unit, data: bytes) -> AgentRef:
        reference = publish_agent(self, unit, data)
        (self._layout.root / reference.path).unlink()
        waiting.append((unit, data))
        return reference

    def publish(self: DepositStore, record: UnitRecord) -> None:
        publish_record(self, record)
        while waiting:
            publish_agent(self, *waiting.pop())

    DepositStore.publish_agent = hold_back  # type: ignore[method-assign]
    DepositStore.publish_record = publish  # type: ignore[method-assign]


def take_errors_for_absence() -> None:
    """A file that cannot be read counts as missing."""

    def read_if_there(self: Store, path: Path, most: int = 0) -> bytes | None:
        try:
            return path.read_bytes()
        except OSError:
            return None

    Store.read_if_there = read_if_there  # type: ignore[method-assign]


def try_once() -> None:
    """No call is retried."""
    plain_files.TRIES = 1


PLANTS: dict[str, Callable[[], None]] = {
    plant.__name__: plant
    for plant in (write_in_place, record_first, take_errors_for_absence, try_once)
}
