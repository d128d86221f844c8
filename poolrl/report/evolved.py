"""Where evolving hyper-parameters ended, as a configuration of constant values."""

from __future__ import annotations

import statistics

from poolrl.errors import UsageError
from poolrl.files import printable
from poolrl.monitoring.history import History

SHARE = 3
"""The values are means over the last of so many parts of the line."""

MAX_VALUES = 4
"""Values of the line that a comment lists."""


def evolved_configuration(history: History) -> str:
    """Return a fragment of a configuration: section ``[learner]`` with a value for each
    hyper-parameter that evolved, the geometric mean over the last third of the line.

    Raises:
        UsageError: none evolves, or there is no iteration yet.
    """
    pool = history.pool
    if not pool.spec.evolving:
        raise UsageError(f"{pool.layout.root}: no hyper-parameter of this pool evolves")
    merged = [merge for merge in history.merges if merge.iteration > 0]
    if not merged:
        raise UsageError(f"{pool.layout.root}: no iteration is merged yet")
    last = merged[-max(1, len(merged) // SHARE) :]
    lines = [
        f"# Evolved in the pool {printable(pool.layout.name)}: geometric means of the line of",
        f"# champions over iterations {last[0].iteration} to {last[-1].iteration}.",
        "[learner]",
    ]
    stride = -(-len(merged) // MAX_VALUES)
    for name, start in pool.spec.evolving.items():
        value = statistics.geometric_mean(merge.line_values[name] for merge in last)
        listed = merged[::-stride][::-1]
        shown = [f"{start:.3g}", *(f"{merge.line_values[name]:.3g}" for merge in listed)]
        after = [str(merge.iteration) for merge in listed]
        lines += [
            f"# {' → '.join(shown)} at the start and after iteration {', '.join(after)}",
            f"{name} = {float(f'{value:.3g}')!r}",
        ]
    return "\n".join(lines)
