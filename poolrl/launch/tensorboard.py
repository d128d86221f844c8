"""The event file that a run writes for TensorBoard. Whatever happens to it, the pool goes on."""

from __future__ import annotations

import time
from collections.abc import Callable

from poolrl.errors import PoolrlError
from poolrl.monitoring.history import History
from poolrl.pool.directory import Pool
from poolrl.report.tensorboard import LEASE_SECONDS, EventLog


class RunEvents:
    """Writes what is new in a run's history, in the launcher: no worker waits for it.

    Args:
        pool: the pool, whose folder ``tensorboard`` gets the file.

    Raises:
        PoolrlError: the folder cannot be used.
    """

    def __init__(self, pool: Pool) -> None:
        self._folder = pool.layout.tensorboard
        self._log: EventLog | None = EventLog(pool, self._folder)
        self._complete = False

    def update(self, history: History) -> str | None:
        """Write what is new; return a warning, once, if that fails from now on."""
        try:
            self._complete = self._log is not None and self._log.update(history)
        except (PoolrlError, OSError) as error:
            self.close()
            self._log = None
            return f"warning: no more events for TensorBoard: {error}"
        return None

    def finish(self, history: History, sleep: Callable[[float], None]) -> str:
        """Write the last events; return a line on where they are, or why not.

        Args:
            history: of the pool, which has ended.
            sleep: waits for a number of seconds while another process holds the lease, perhaps one
                that was killed.
        """
        deadline = time.monotonic() + 2 * LEASE_SECONDS
        while True:
            if (warning := self.update(history)) is not None:
                return warning
            if self._complete:
                return f"events:  {self._folder}"
            if self._log is None or time.monotonic() > deadline:
                return f"warning: not all events for TensorBoard are in {self._folder}"
            sleep(0.1)

    def close(self) -> None:
        """Let another process write."""
        if self._log is not None:
            self._log.close()
