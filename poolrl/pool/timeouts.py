"""Timeouts for heartbeats, straggler detection and backup copies, shared by workers and status."""

from __future__ import annotations

HEARTBEAT_CHECK_SECONDS = 1.0
"""Interval in which a worker checks whether a heartbeat is due: a change of state is reported
after this time at the latest."""

HEARTBEAT_SECONDS = 10.0
"""Interval of the heartbeats while the state of a worker stays the same."""

LEASE_TOUCHES = 3
"""Number of times that the holder of a lease touches it within the duration of the lease."""

STRAGGLER_FACTOR = 3.0
"""A unit is a straggler once it takes this many times as long as the longest of its siblings."""

STRAGGLER_LEASES = 10.0
"""The same in durations of a lease, while no sibling has been deposited."""

MIN_STRAGGLER_SECONDS = 1.0
"""No unit is a straggler before this time."""

MAX_BACKUP_COPIES = 2
"""Backup copies of a straggler: more would meet the same obstacle as the first ones."""

MAX_SIBLING_RECORDS = 8
"""Records of siblings that are read, so that the cost does not grow with the number of branches."""


def straggler_seconds(longest_sibling: float, lease_duration: float) -> float:
    """Seconds after which a claimed unit counts as a straggler.

    Args:
        longest_sibling: seconds of the longest unit that was deposited; 0 if there is none.
        lease_duration: seconds.
    """
    if not longest_sibling:
        return STRAGGLER_LEASES * lease_duration
    return max(MIN_STRAGGLER_SECONDS, STRAGGLER_FACTOR * longest_sibling)
