"""Keys of a specification whose meaning in new pools is not that of pools without them.

The default of such a field in ``poolrl.config.schema`` is the older meaning, so that a
``pool.toml`` without the key is read as it was written. A new pool names its value in
``pool.toml``. Where a configuration leaves the key out, the pool that is there decides, so that the
command that made a pool goes on with it.
"""

from __future__ import annotations

from typing import Any, get_args

from msgspec import Struct

from poolrl.config.learners import Learner
from poolrl.config.networks import KINDS, NetworkSpec
from poolrl.config.schema import Spec, TaskSpec

NEW_POOL_DEFAULTS: dict[str, Any] = {
    "task.exact_spaces": True,
    "network.normalizer_precision": "double",
    "learner.gradient_clipping": "separate",
    "learner.normalize_values": True,
    "learner.standardize_single": False,
    "learner.replay_window": 1_000_000,
}
"""Dotted key -> value of new pools. A key that the chosen learner does not have is left out."""

_SECTIONS: dict[str, type[Struct]] = {"task": TaskSpec}
_KINDS: dict[str, dict[str, type[Struct]]] = {
    "network": {str(kind.__struct_config__.tag): kind for kind in KINDS},
    "learner": {str(kind.__struct_config__.tag): kind for kind in get_args(Learner)},
}


def add_missing(
    table: dict[str, Any], existing: Spec | None, first_network: NetworkSpec | None = None
) -> None:
    """Set the keys of ``NEW_POOL_DEFAULTS`` that a configuration leaves out.

    Args:
        table: of the configuration, with the names of network and learner; changed in place.
        existing: of the pool that is there, whose values are taken; ``None`` for a new pool.
        first_network: of the agent that a new pool starts from, which keeps its own arithmetic.
    """
    for key, default in NEW_POOL_DEFAULTS.items():
        section, name = key.split(".")
        part = table.setdefault(section, {})
        kind = _structure(section, part)
        if kind is None or name not in kind.__struct_fields__ or name in part:
            continue
        if name == "normalize_values" and part.get("baseline") == "none":
            continue  # there is no critic that could predict them
        part[name] = default
        given = first_network if section == "network" else None
        source = getattr(existing, section) if existing is not None else given
        if isinstance(source, kind):
            part[name] = getattr(source, name)


def _structure(section: str, part: Any) -> type[Struct] | None:
    """The structure of a section; ``None`` if what is there is not one, which is refused later."""
    if not isinstance(part, dict):
        return None
    if section in _SECTIONS:
        return _SECTIONS[section]
    name = part.get("name")
    return _KINDS[section].get(name) if isinstance(name, str) else None
