"""Waiting for something to become true."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE_SECONDS = 90.0
"""How long anything may take that should happen: the machine may be busy."""


def until(
    condition: Callable[[], T],
    what: str = "what the test waits for",
    seconds: float = PATIENCE_SECONDS,
) -> T:
    """Wait for something to become true, and give it back.

    Raises:
        AssertionError: it did not in time; says what.
    """
    deadline = time.monotonic() + seconds
    pause = 0.01
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(pause)
        pause = min(2 * pause, 0.1)
    return found
