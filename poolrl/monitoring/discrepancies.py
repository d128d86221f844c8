"""What is found to be otherwise than it should be: by file and by key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

_ABSENT = "nothing"


@dataclass(frozen=True)
class Finding:
    """Something that is not as the rules say.

    Attributes:
        path: the file, from the pool's root.
        key: in the file, as in ``evaluation.returns[3]``; empty where it is the file as a whole.
        message: what is wrong.
    """

    path: str
    key: str
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.path, self.key, self.message) if part)


def compare(path: str, recorded: Any, expected: Any, by: str) -> Iterator[Finding]:
    """Where two structures differ, key by key; of a list, the first place and how many there are.

    Args:
        path: the file with the first one.
        recorded, expected: plain data, or structures.
        by: who says the second one, as in "by the rules".
    """
    own, other = _flat(msgspec.to_builtins(recorded)), _flat(msgspec.to_builtins(expected))
    keys = [key for key in {**own, **other} if own.get(key, _ABSENT) != other.get(key, _ABSENT)]
    lists = Counter(key.partition("[")[0] for key in keys)
    for key in keys:
        more = lists.pop(name := key.partition("[")[0], 0) - 1
        if more < 0:
            continue  # of a list that was told
        left, right = own.get(key, _ABSENT), other.get(key, _ABSENT)
        also = f"; {more} more of {name}" if more else ""
        yield Finding(path, key, f"{left} recorded, {right} {by}{also}")


def _flat(value: Any, key: str = "") -> dict[str, Any]:
    """Nested plain data by keys such as ``evaluation.returns[3]``."""
    flat: dict[str, Any] = {}
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            flat |= _flat(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, Sequence) and not isinstance(value, str) and value:
        for index, inner in enumerate(value):
            flat |= _flat(inner, f"{key}[{index}]")
    else:
        flat[key] = value
    return flat
