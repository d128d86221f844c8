"""What `[branches]` says of a hyper-parameter: values of branches in turn, or that it evolves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from msgspec import Meta

from poolrl.config.networks import KINDS
from poolrl.config.types import Section, Text
from poolrl.errors import UsageError, did_you_mean

RANGE = 10.0
"""Factor by which an evolving value may go away from where it starts, either way."""


class Evolve(Section, frozen=True):
    """A hyper-parameter whose value evolves with the line of champions (Jaderberg et al. 2017,
    population based training, arXiv:1711.09846).

    A branch takes h = h*·exp(`evolve`·ξ), within a tenth and ten times the learner's own value;
    branch 0 takes h* itself, which starts at the learner's value. Next h* is that of the champion:
    a branch's own, the weighted geometric mean of the branches that a mean was made of; with a
    champion that stays it stays, and with one that comes back it comes back.
    """

    evolve: Annotated[float, Meta(gt=0, le=10)]
    """Standard deviation of ln h over branches."""


BranchValues = Annotated[tuple[bool | int | float | Text, ...], Meta(max_length=10_000)] | Evolve
"""Of one hyper-parameter."""


def starts(branches: Mapping[str, BranchValues], learner: Any) -> dict[str, float]:
    """Where the evolving hyper-parameters start, by name in alphabetical order.

    Args:
        branches: of the specification.
        learner: with the values.
    """
    names = sorted(name for name, given in branches.items() if isinstance(given, Evolve))
    return {name: getattr(learner, name) for name in names}


def check_evolving(
    branches: Mapping[str, BranchValues],
    learner: Any,
    check: Callable[[Mapping[str, float]], object],
) -> None:
    """Check that hyper-parameters can evolve.

    Args:
        branches: of the specification.
        learner: with the values that they start at.
        check: raises ``UsageError`` for invalid values.

    Raises:
        UsageError: names the key.
    """
    values = starts(branches, learner)
    for name, start in values.items():
        if not isinstance(start, float):
            raise UsageError(f"branches.{name}: evolve is for fractional numbers, got {start!r}")
        if not start > 0:
            raise UsageError(
                f"branches.{name}: evolve starts at learner.{name}, which must be above 0, not "
                f"{start:g}"
            )
        for bound in (start / RANGE, start * RANGE):
            try:
                check(values | {name: bound})
            except UsageError as error:
                text = str(error).removeprefix(f"branches.{name}: ")
                raise UsageError(
                    f"branches.{name}: evolve may take it to {bound:g}: {text}"
                ) from None
    adaptive = branches.get("adaptive_kl", ())
    given = getattr(learner, "adaptive_kl", 0), *(() if isinstance(adaptive, Evolve) else adaptive)
    if "learning_rate" in values and any(given):
        raise UsageError(
            "branches.learning_rate: evolve: learner.adaptive_kl adapts it already; give one of "
            "them"
        )


def refused_key(name: str, fields: Sequence[str]) -> str:
    """Why a key of `[branches]` is refused.

    Args:
        name: the key.
        fields: hyper-parameters of the learner.
    """
    if name == "replay_window" and name in fields:
        return "branches.replay_window: all branches share one window; set learner.replay_window"
    own = {"name", "network", "learner", "normalize_values", "normalize_returns"}
    if name in own.union(*(kind.__struct_fields__ for kind in KINDS)):
        return f"branches.{name}: changes the agent's tensors, which all branches must share"
    hint = did_you_mean(name, fields, f"known: {', '.join(fields) or 'none'}")
    return f"branches.{name}: not a hyper-parameter of the learner; {hint}"
