"""What time it is for the file server, whose clock file times are of.

Nothing is written to find out. A worker on this machine tells by its heartbeat, which holds this
machine's time and has the server's. A file that changed between two looks did so between two
instants that we know. And no file is from the future.
"""

from __future__ import annotations

import math
import time

from poolrl.monitoring.status_types import Clock

SLACK_SECONDS = 3.0
"""How much later than it happened a change may be seen."""


class ServerClock:
    """Learns how far the file server's clock is ahead of ours."""

    def __init__(self) -> None:
        self._least = -math.inf
        self._most = math.inf
        self._own: tuple[float, float] | None = None

    def saw(self, changed: float, since: float | None = None) -> None:
        """Learn from a file.

        Args:
            changed: when it was changed by the server's clock.
            since: a time of ours at which it was not changed yet.
        """
        self._least = max(self._least, changed - time.time())
        if since is not None:
            self._most = min(self._most, changed - since + SLACK_SECONDS)
        if self._least > self._most:  # somebody has set a clock
            self._least, self._most = changed - time.time(), math.inf

    def saw_own(self, written: float, changed: float) -> None:
        """Learn from a heartbeat of this machine: when it was written by our clock, and by the
        server's."""
        if self._own is None or changed > self._own[0]:
            self._own = (changed, changed - written)

    def state(self) -> Clock:
        """What is known."""
        if self._own is not None:
            return Clock(self._own[1], "worker")
        known = self._most < math.inf
        return Clock(min(max(0.0, self._least), self._most), "watched" if known else "assumed")

    def age(self, changed: float) -> float:
        """Seconds since a file was changed."""
        return max(0.0, time.time() + self.state().offset_seconds - changed)
