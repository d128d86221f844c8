"""Claims on units of work by leases: advice about who computes what, which nothing waits for."""

from __future__ import annotations

import errno
import logging
import os
import re
from collections.abc import Hashable
from pathlib import Path

from filelock import LeaseSettingsMismatch, SoftFileLease, Timeout

from poolrl.clock import SYSTEM_CLOCK, Clock
from poolrl.storage.plain_files import TRANSIENT, refused, retry
from poolrl.storage.store import Store

log = logging.getLogger("poolrl.storage")

LEASE_IGNORED_AFTER = 1.5
"""Durations of a lease after which a unit is claimed without it, if it cannot be taken over."""

# Errors of a lease's path that is another user's file, or no file at all.
_NOT_OURS = {errno.EACCES, errno.EPERM, errno.EISDIR, errno.ELOOP}


class Claims:
    """One worker's claims on units.

    A lease is a ``filelock.SoftFileLease``. It cannot always be taken over (on NFS the lease of a
    dead holder, or an empty one, may stay for ever), so a unit may be claimed without its lease
    once the lease has not changed for its duration, by the monotonic clock of this worker.
    """

    def __init__(self, store: Store, duration: float, clock: Clock = SYSTEM_CLOCK) -> None:
        """
        Args:
            store: files of the pool.
            duration: of a lease, in seconds.
            clock: by which leases that cannot be taken over are ignored; ``filelock`` has its own.
        """
        self._store = store
        self._duration = duration
        self._clock = clock
        # One object per unit: filelock measures staleness from the creation of the object.
        self._leases: dict[Path, SoftFileLease] = {}
        self._observed: dict[Path, tuple[Hashable, float]] = {}

    def claim(self, path: Path) -> bool:
        """Claim the unit of a lease file; whether this worker may compute it.

        Raises:
            StoreError: the file system refused.
        """
        self._store.refuse_links(path.parent)
        lease = self._leases.get(path)
        if lease is None:
            lease = SoftFileLease(path, lease_duration=self._duration, timeout=0)
            self._leases[path] = lease
        try:
            retry(lambda: _take(lease), TRANSIENT)
        except (Timeout, LeaseSettingsMismatch):
            return self._ignored_lease(path)
        except OSError as error:
            if error.errno in _NOT_OURS and os.path.lexists(path):
                return self._ignored_lease(path)
            raise refused("claim", path, error) from error
        return True

    def release(self, path: Path) -> None:
        """Release a claim; without effect if there is none.

        A refusal of the file system is logged, not raised: others wait for the lease no longer than
        for that of a dead worker.
        """
        lease = self._leases.pop(path, None)
        self._observed.pop(path, None)
        if lease is None:
            return
        try:
            retry(lambda: lease.release(force=True), TRANSIENT)
        except OSError as error:
            log.warning("%s: cannot remove: %s", path, error.strerror or error)

    def forget(self) -> None:
        """Release all claims, and forget what was observed of others."""
        for path in list(self._leases):
            self.release(path)

    def is_marked(self, path: Path) -> bool:
        """Whether anything is stored at the path of a lease."""
        return os.path.lexists(path)

    def _ignored_lease(self, path: Path) -> bool:
        """Whether another's lease has not changed for long enough to claim the unit without it."""
        try:
            # open and fstat are fresh on NFS where stat is not; a pipe must not block.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
            try:
                status = os.fstat(descriptor)
            finally:
                os.close(descriptor)
        except OSError:
            try:  # a file that cannot be read must not block the unit for ever either
                status = os.lstat(path)
            except OSError:
                return False  # released in the meantime
        # Half a duration later than filelock itself would take it over.
        state = (status.st_ino, status.st_mtime_ns)
        return self._unchanged_for(path, state) > LEASE_IGNORED_AFTER * self._duration

    def _unchanged_for(self, path: Path, state: Hashable) -> float:
        """Seconds since this object first observed a lease in its present state."""
        now = self._clock.monotonic()
        before, since = self._observed.get(path, (None, now))
        if state != before:
            self._observed[path] = (state, now)
            return 0.0
        return now - since


def _take(lease: SoftFileLease) -> None:
    if not Path(lease.lock_file).parent.is_dir():  # filelock would create it
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    lease.acquire(poll_interval=0)


def lease_owner(data: bytes) -> tuple[str, int] | None:
    """Host and process id of a lease's holder, from the content of the lease.

    filelock appends ``?`` and the namespace of process ids to the host unless it is the host's own
    one. ``None`` if the lease is empty or was not written by filelock.
    """
    lines = data.decode(errors="replace").splitlines()
    fields = dict(line.split("=", 1) for line in lines if "=" in line)
    host, pid = fields.get("host", "").partition("?")[0], fields.get("pid", "")
    # No process id has more digits.
    return (host[:1000], int(pid)) if re.fullmatch("[0-9]{1,9}", pid) else None
