"""Wait for a condition."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

TIMEOUT_SECONDS = 300.0
"""A guard against a test that hangs, not an expectation: the machine may be busy."""


def until(
    condition: Callable[[], T],
    what: str = "what the test waits for",
    seconds: float = TIMEOUT_SECONDS,
) -> T:
    """Wait until a condition is true.

    Args:
        condition: called until its result is true.
        what: the event, for the message.
        seconds: the timeout.

    Returns:
        The condition's first true result.

    Raises:
        AssertionError: the timeout is over.
    """
    deadline = time.monotonic() + seconds
    pause = 0.01
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(pause)
        pause = min(2 * pause, 0.1)
    return found
