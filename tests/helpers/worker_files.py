"""Write the files of workers that do not run: leases and heartbeats."""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path
from typing import Any

from poolrl.pool.directory import Pool
from poolrl.records.codec import encode
from poolrl.records.records import WorkerInfo
from poolrl.records.work_units import Unit
from poolrl.records.worker_records import Heartbeat


def claim(pool: Pool, unit: Unit, host: str, pid: int, seconds: float) -> None:
    """Write a lease that a worker touched some seconds ago.

    Args:
        pool: its pool.
        unit: the claimed unit.
        host: of the worker.
        pid: of the worker.
        seconds: the lease's age.
    """
    folder = pool.layout.iteration(unit.iteration)
    folder.folder.mkdir(exist_ok=True)
    lease = folder.lease(unit)
    lease.write_text(
        f"filelock/2\npid={pid}\nhost={host}\nmode=lease\ntoken={uuid.uuid4().hex}\nduration=30.0\n"
    )
    made_old(lease, seconds)


def beat(
    pool: Pool, host: str, pid: int, seconds: float, *, since: float = 0.0, **fields: Any
) -> Path:
    """Write a heartbeat.

    Args:
        pool: its pool.
        host: of the worker.
        pid: of the worker.
        seconds: the heartbeat's age.
        since: the seconds for which the worker was in its state then.
        fields: of Heartbeat; ``job`` of WorkerInfo; ``ahead``, the seconds by which the worker's
            clock is wrong.

    Returns:
        The heartbeat's file.
    """
    info = WorkerInfo(
        id=uuid.uuid4().hex, host=host, pid=pid, versions={}, job=fields.pop("job", "")
    )
    written = time.time() - seconds
    heartbeat = Heartbeat(
        worker=info,
        state=fields.pop("state", "working"),
        since=written - since,
        beat=written + fields.pop("ahead", 0.0),
        started=written - 100,
        **fields,
    )
    pool.layout.workers.mkdir(exist_ok=True)
    path = pool.layout.heartbeat(info.id)
    path.write_bytes(encode(heartbeat))
    made_old(path, seconds)
    return path


def made_old(path: Path, seconds: float) -> None:
    """Set a file's time of modification to some seconds ago."""
    changed = time.time() - seconds
    os.utime(path, (changed, changed))
