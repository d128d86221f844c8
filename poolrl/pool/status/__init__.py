"""What a pool is at, read from its files without changing anything."""

from poolrl.pool.status.observer import Observer
from poolrl.pool.status.structures import Reason, Status, UnitStatus, WorkerStatus

__all__ = ["Observer", "Reason", "Status", "UnitStatus", "WorkerStatus"]
