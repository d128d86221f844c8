"""How long is too long: by these a worker acts on others, and ``poolrl status`` foretells it."""

from __future__ import annotations

TICK_SECONDS = 1.0
"""How soon a worker's change of state is told by its heartbeat, at the latest."""

BEAT_SECONDS = 10.0
"""How often a worker that goes on with the same thing says that it lives."""

TOUCHES = 3
"""How often the holder of a lease touches it in the lease's duration."""

UNYIELDING = 1.5
"""Durations of a lease after which its unit is done without it, where it cannot be taken over."""

TIMES_LONGER = 3.0
"""How many times as long as the longest of its siblings a unit may take before it is doubled."""

LEASES = 10.0
"""The same where no sibling has been deposited, in durations of a lease."""

LEAST_SECONDS = 1.0
"""Units are never doubled sooner."""

MOST_COPIES = 2
"""How often a unit is doubled: a third and fourth worker would meet what holds the others."""

SAMPLE = 8
"""How many siblings' records are read: looking costs the same in a large pool as in a small one."""


def doubling_seconds(longest_sibling: float, lease_duration: float) -> float:
    """Seconds after which a unit is doubled; 0 stands for no sibling that has been deposited."""
    if not longest_sibling:
        return LEASES * lease_duration
    return max(LEAST_SECONDS, TIMES_LONGER * longest_sibling)
