"""Structure of the section `[merge]`: how the next champion comes from an iteration's branches.

A pool without it has a `pool.toml` as earlier versions wrote it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from poolrl.config.types import Natural, Positive, Section
from poolrl.errors import UsageError


class MergeSpec(Section, frozen=True):
    """The merge rule of a pool. A `pool.toml` with this section is of schema 2, which earlier
    versions refuse."""

    rule: Literal["best", "mean"] = "best"
    """`best`: the branch with the highest score is the next champion. `mean`: the champion moves by
    the mean displacement of its branches, times `step`, with `momentum` (local SGD; an outer step
    above 1 and a momentum as in outer-PPO, arXiv:2411.00666, and DiLoCo, arXiv:2311.08105)."""
    candidates: Annotated[tuple[Positive, ...], Meta(max_length=16)] = ()
    """Of `best`: factors of the mean displacement of all branches that succeeded, as in [1, 2, 4].
    Each makes an agent that is evaluated beside the branches, and is the champion if its score is
    the highest. None is made of fewer than two branches. An iteration then has two stages."""
    step: Positive = 1.0
    """Of `mean`: factor of the mean displacement. The mean of N noisy displacements is shorter than
    each of them, and bears a longer step (Beyer's theory of recombination in evolution strategies).
    Only weights and biases of networks are extrapolated."""
    momentum: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    """Of `mean`: factor of the champion's last displacement, which is added. It is zero at the
    start, and after a fallback."""
    weights: Literal["uniform", "rank"] = "uniform"
    """Of `mean`: `uniform`, all branches count the same and are not evaluated, only the champion
    is, by the next iteration's parent unit; `rank`, weights fall with the rank of the score as
    ln((N + 1)/2) − ln(rank), to 0 in the worse half (CMA-ES: Hansen, arXiv:1604.00772)."""
    fallback: Natural | None = None
    """If given, the line goes on from the best-ever champion after more than this many iterations
    in a row without a new best-ever score, and the count starts again (RLAI's pools). Scores are
    those by which champions were selected, biased upward as the best of many: a lucky one is beaten
    late. The best-ever champion is the result of the pool, and the closing evaluation the only unit
    that measures it for its own sake. Not with `selection.keep_parent`."""

    def __post_init__(self) -> None:
        of_mean = {"step": 1.0, "momentum": 0.0, "weights": "uniform"}
        for name, default in of_mean.items():
            if self.rule != "mean" and getattr(self, name) != default:
                raise ValueError(f"{name} is an option of rule = mean")
        if self.candidates and self.rule != "best":
            raise ValueError("candidates are an option of rule = best")
        if len(set(self.candidates)) < len(self.candidates):
            raise ValueError("candidates: each factor once")

    @property
    def evaluates_branches(self) -> bool:
        """Whether the rule needs the scores of branches."""
        return self.rule != "mean" or self.weights != "uniform"

    @property
    def averages(self) -> bool:
        """Whether agents are averaged."""
        return self.rule == "mean" or bool(self.candidates)

    def num_candidates(self, done: int) -> int:
        """Number of candidates in an iteration in which so many branches are done."""
        return len(self.candidates) if done >= 2 else 0

    @property
    def is_default(self) -> bool:
        """Whether a pool without the section is merged in the same way."""
        return self == MergeSpec()


def check_merge(merge: MergeSpec, *, keep_parent: bool) -> None:
    """Check that a merge rule goes with `selection.keep_parent`.

    Raises:
        UsageError: names the key.
    """
    if not keep_parent:
        return
    if merge.fallback is not None:
        raise UsageError(
            "merge.fallback: a champion that is kept has no new score to fall back by: not with "
            "selection.keep_parent"
        )
    if not merge.evaluates_branches:
        raise UsageError(
            "selection.keep_parent: needs the scores of branches, which merge.rule = mean with "
            "merge.weights = uniform does without"
        )
