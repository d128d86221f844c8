"""Who is on a unit: advice, which nothing ever waits for."""

from __future__ import annotations

import errno
import logging
import os
import time
from pathlib import Path

from filelock import LeaseSettingsMismatch, SoftFileLease, Timeout

from poolrl.pool.timeouts import UNYIELDING
from poolrl.storage.links import refuse_links
from poolrl.storage.store import PASSING, again, refused

log = logging.getLogger("poolrl.pool")

# Of what stands where a lease should be: another user's, or no file at all.
_NOT_OURS = {errno.EACCES, errno.EPERM, errno.EISDIR, errno.ELOOP}


class Claims:
    """One worker's claims on units: advice, which nothing ever waits for.

    ``filelock.SoftFileLease`` says who is on a unit. It cannot always be taken over (on NFS the
    marker of a dead holder, or an empty marker, may never yield), so a unit whose marker has not
    moved for the lease's duration, on our own clock, is done without it.
    """

    def __init__(self, duration: float) -> None:
        self._duration = duration
        # One object a unit: the clock that judges staleness starts with the object.
        self._leases: dict[Path, SoftFileLease] = {}
        self._seen: dict[Path, tuple[tuple[int, int] | None, float]] = {}

    def claim(self, path: Path) -> bool:
        """Whether this worker may go to work on the unit behind a lease file.

        Raises:
            StoreError: the file system refused.
        """
        refuse_links(path.parent)
        lease = self._leases.get(path)
        if lease is None:
            lease = SoftFileLease(path, lease_duration=self._duration, timeout=0)
            self._leases[path] = lease
        try:
            again(lambda: _take(lease), PASSING)
        except (Timeout, LeaseSettingsMismatch):
            return self._silent(path)
        except OSError as error:
            if error.errno in _NOT_OURS and os.path.lexists(path):
                return self._silent(path)
            raise refused("claim", path, error) from error
        return True

    def release(self, path: Path) -> None:
        """Give a claim back; without effect where there is none, or where the file system refuses:
        others wait for a marker no longer than for that of a dead worker."""
        lease = self._leases.pop(path, None)
        self._seen.pop(path, None)
        if lease is None:
            return
        try:
            again(lambda: lease.release(force=True), PASSING)
        except OSError as error:
            log.warning("%s: cannot remove: %s", path, error.strerror or error)

    def forget(self) -> None:
        """Drop everything about units that are over."""
        for path in list(self._leases):
            self.release(path)

    def _silent(self, path: Path) -> bool:
        now = time.monotonic()
        try:
            # open and fstat are fresh where stat is not; a pipe must not be waited for.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
            try:
                status = os.fstat(descriptor)
            finally:
                os.close(descriptor)
        except OSError:
            try:  # what cannot be read must not hold us up for ever either
                status = os.lstat(path)
            except OSError:
                return False  # released meanwhile
        sign = (status.st_ino, status.st_mtime_ns)
        before, since = self._seen.get(path, (None, now))
        if sign != before:
            self._seen[path] = (sign, now)
            return False
        # Half a duration later than filelock itself would take it over.
        return now - since > UNYIELDING * self._duration


def _take(lease: SoftFileLease) -> None:
    if not Path(lease.lock_file).parent.is_dir():  # the lease would make it
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    lease.acquire(poll_interval=0)
