"""Retention rule: which agents stay on disk once their iteration is merged."""

from __future__ import annotations

import re
from dataclasses import dataclass

from poolrl.errors import UsageError

_LAST = re.compile(r"last:([1-9]\d{0,8})")


@dataclass(frozen=True)
class RetentionRule:
    """How long the agents that no merge named champion stay; champions are never removed.

    Attributes:
        iterations: number of the newest merged iterations that keep all their agents; ``None`` for
            all iterations.
    """

    iterations: int | None = 0

    @classmethod
    def parse(cls, text: str) -> RetentionRule:
        """Parse ``champions``, ``last:N`` or ``all``.

        Raises:
            UsageError: it is none of them.
        """
        if text == "champions":
            return cls(0)
        if text == "all":
            return cls(None)
        match = _LAST.fullmatch(text)
        if match is None:
            raise UsageError(
                f"expected champions, all or last:N with N from 1 to 999999999, got {text!r}"
            )
        return cls(int(match[1]))

    def newest_expired(self, newest: int) -> int:
        """The newest iteration that keeps its champion alone; negative if there is none.

        Args:
            newest: the newest merged iteration.
        """
        return -1 if self.iterations is None else newest - self.iterations
