"""Structure of the section `[merge]`: how the next champion comes from an iteration's branches.

A pool without it has a `pool.toml` as earlier versions wrote it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from msgspec import Meta
from msgspec.structs import fields

from poolrl.config.types import Natural, Positive, Section
from poolrl.errors import UsageError


class MergeSpec(Section, frozen=True):
    """The merge rule of a pool. A `pool.toml` with this section is of schema 2, which earlier
    versions refuse."""

    rule: Literal["best", "mean", "update"] = "best"
    """`best`: the branch with the highest score is the next champion. `mean`: the champion moves by
    the mean displacement of its branches, times `step`, with `momentum` (local SGD; an outer step
    above 1 and a momentum as in outer-PPO, arXiv:2411.00666, and DiLoCo, arXiv:2311.08105).
    `update`: branches only sample experience, with the champion and from fresh resets, and one
    update of the learner on all of it makes the next champion (PPO's algorithm 1, whose actors the
    branches are, arXiv:1707.06347). A branch's whole budget is one rollout: of whole episodes, all
    run at the same time, or with a budget of steps `learner.episodes_per_update`; with
    `learner.segment_steps` the simulations run without a cut for the whole number of segments that
    reaches the budget. For PPO and REINFORCE."""
    minibatches: Annotated[int, Meta(ge=0, le=10**9)] = 0
    """Of `update`: number of minibatches of an epoch, so that their size grows with the number of
    branches; 0 for minibatches of `learner.minibatch_size`, whose number grows instead. Sizes are
    rounded up, which may make them fewer, and sequences of networks with memory stay whole."""
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
        options = {"mean": ("step", "momentum", "weights"), "update": ("minibatches",)}
        defaults = {field.name: field.default for field in fields(MergeSpec)}
        for rule, names in options.items():
            for name in names:
                if self.rule != rule and getattr(self, name) != defaults[name]:
                    raise ValueError(f"{name} is an option of rule = {rule}")
        if self.candidates and self.rule != "best":
            raise ValueError("candidates are an option of rule = best")
        if len(set(self.candidates)) < len(self.candidates):
            raise ValueError("candidates: each factor once")

    @property
    def evaluates_branches(self) -> bool:
        """Whether the rule needs the scores of branches."""
        return self.rule == "best" or (self.rule == "mean" and self.weights != "uniform")

    @property
    def evaluates_champions(self) -> bool:
        """Whether a champion has a score when it is named, and not only as the next parent."""
        return self.rule == "best"

    @property
    def shares_experience(self) -> bool:
        """Whether branches only sample experience, and deposit it in place of agents."""
        return self.rule == "update"

    @property
    def has_two_stages(self) -> bool:
        """Whether an iteration has units that are computed from deposits of other ones."""
        return bool(self.candidates) or self.shares_experience

    def is_source(self, kind: str) -> bool:
        """Whether sources list the units of a kind: those that the second stage waits for."""
        return kind == "branch" or (kind == "parent" and not self.shares_experience)

    @property
    def averages(self) -> bool:
        """Whether agents are averaged."""
        return self.rule == "mean" or bool(self.candidates)

    @property
    def is_default(self) -> bool:
        """Whether a pool without the section is merged in the same way."""
        return self == MergeSpec()


def inherited(
    merge: Mapping[str, Any], overrides: Mapping[str, Any], existing: MergeSpec | None
) -> dict[str, Any]:
    """Options of a configuration's `[merge]` that go with overrides.

    Another rule does not inherit those of the old one. A mean of one branch is that branch, and a
    momentum on top would be no training in one process: with `pool.count = 1` nothing is averaged.

    Args:
        merge: of the configuration.
        overrides: dotted key -> value.
        existing: of the pool that the configuration is for.
    """
    rule = merge.get("rule", "best")
    alone = rule == "mean" and overrides.get("pool.count") == 1 and existing is None
    if overrides.get("merge.rule", "best" if alone else rule) == rule:
        return dict(merge)
    return {key: value for key, value in merge.items() if key == "fallback"}


UPDATING_LEARNERS = ("ppo", "reinforce")
"""Learners that update on a rollout that others have sampled."""


def check_merge(
    merge: MergeSpec, *, keep_parent: bool, learner: str, branches: Mapping[str, Any]
) -> None:
    """Check that a merge rule goes with the other sections.

    Args:
        merge: the rule.
        keep_parent: of `[selection]`.
        learner: its name.
        branches: of `[branches]`.

    Raises:
        UsageError: names the key.
    """
    if merge.shares_experience:
        if learner not in UPDATING_LEARNERS:
            raise UsageError(
                "merge.rule = update: makes one update on sampled experience, as "
                f"{' and '.join(UPDATING_LEARNERS)} do; learner.name = {learner} does not"
            )
        for name, given in branches.items():
            if not isinstance(given, Sequence) or len(set(given)) > 1:
                raise UsageError(
                    f"branches.{name}: by merge.rule = update one update is made of all branches; "
                    f"set learner.{name}"
                )
    if not keep_parent:
        return
    if merge.fallback is not None:
        raise UsageError(
            "merge.fallback: a champion that is kept has no new score to fall back by: not with "
            "selection.keep_parent"
        )
    if not merge.evaluates_branches:
        raise UsageError(
            f"selection.keep_parent: needs the scores of branches, which merge.rule = {merge.rule}"
            f"{' with merge.weights = uniform' if merge.rule == 'mean' else ''} does without"
        )
