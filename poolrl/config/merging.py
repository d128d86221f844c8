"""Structure of the section `[merge]`: how the next champion comes from an iteration's branches.

A pool without it has a `pool.toml` as earlier versions wrote it.
"""

from __future__ import annotations

from typing import Literal

from poolrl.config.types import Natural, Section


class MergeSpec(Section, frozen=True):
    """The merge rule of a pool. A `pool.toml` with this section is of schema 2, which earlier
    versions refuse."""

    rule: Literal["best"] = "best"
    """`best`: the branch with the highest score is the next champion."""
    fallback: Natural | None = None
    """If given, the line goes on from the best-ever champion after more than this many iterations
    in a row without a new best-ever score, and the count starts again (RLAI's pools). Scores are
    those by which champions were selected, biased upward as the best of many: a lucky one is beaten
    late. The best-ever champion is the result of the pool, and the closing evaluation the only unit
    that measures it for its own sake. Not with `selection.keep_parent`."""

    @property
    def is_default(self) -> bool:
        """Whether a pool without the section is merged in the same way."""
        return self == MergeSpec()
