"""A clock that tests move by hand."""

from __future__ import annotations

from collections.abc import Callable


class ManualClock:
    """Time passes only by ``sleep`` and ``advance``; nothing blocks."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._events: list[tuple[float, Callable[[], None]]] = []

    def monotonic(self) -> float:
        return self._now

    def time(self) -> float:
        return 1.7e9 + self._now

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Let time pass; events that are due run at their time."""
        end = self._now + seconds
        while due := [event for event in self._events if event[0] <= end]:
            event = min(due, key=lambda event: event[0])
            self._events.remove(event)
            self._now = max(self._now, event[0])
            event[1]()
        self._now = max(self._now, end)

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Schedule an action."""
        self._events.append((self._now + seconds, action))
