"""Loading of a configuration: TOML file, defaults and overrides -> ``Spec`` and ``RunOptions``."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from poolrl.config import exploration, networks
from poolrl.config.merging import inherited
from poolrl.config.networks import NetworkSpec
from poolrl.config.new_pools import add_missing
from poolrl.config.run_options import RunOptions
from poolrl.config.schema import Spec
from poolrl.config.tables import assign, flatten, read_toml
from poolrl.config.types import Section
from poolrl.config.validation import convert
from poolrl.errors import UsageError


class _RunTable(Section, frozen=True):
    run: RunOptions = RunOptions()


DEFAULT: dict[str, dict[str, Any]] = {
    "pool": {"count": 10, "iterate_episodes": 200, "evaluate_episodes": 10},
    "task": {"id": "Swimmer-v5", "max_episode_steps": 500},
    "network": {"actor": [32, 32], "critic": [32, 32]},
    "learner": {
        "name": "ppo",
        "discount": 0.9999,
        "minibatch_size": 128,
        "episodes_per_update": 4,
        "center_rewards": True,
    },
    "branches": {
        "learning_rate": [0.0005, 0.001, 0.0015, 0.002, 0.003],
        "gae_lambda": [0.99, 0.995],
    },
    "run": {"iterations": 5},
}
"""The configuration if none is given: configs/swimmer.toml. With another task or learner, the
defaults of ``poolrl.config.schema`` apply instead."""


def load(
    path: Path | None,
    overrides: Mapping[str, Any] | None = None,
    *,
    existing: Spec | None = None,
    first_network: NetworkSpec | None = None,
) -> tuple[Spec, RunOptions]:
    """Load a configuration and apply overrides.

    An override of a hyper-parameter applies to every branch, in place of its ``[branches]`` values.
    A network, an exploration or a merge rule that overrides name does not inherit the options of
    another one, and a single branch that they ask for is not averaged.
    Keys that are left out, and that mean something else in pools without them, are set by
    ``new_pools.add_missing``.

    Args:
        path: a TOML file; ``None`` for the defaults.
        overrides: dotted key -> value, as in ``{"learner.learning_rate": 1e-3}``.
        existing: of the pool that the configuration is for; ``None`` for a new pool.
        first_network: of the agent that a new pool starts from.

    Raises:
        UsageError: names the file and the key that is unknown or has an invalid value.
    """
    table = read_toml(path) if path is not None else {}
    if path is None and not {"task.id", "learner.name"} & (overrides or {}).keys():
        table = copy.deepcopy(DEFAULT)
    source = str(path) if path is not None else ""
    return _resolve(table, overrides or {}, source, existing, first_network)


def load_over(spec: Spec, run: RunOptions, overrides: Mapping[str, Any]) -> tuple[Spec, RunOptions]:
    """Apply overrides to the configuration of an existing pool.

    The hash of the model is cleared, to be computed again. Another task, network, learner or
    exploration does not inherit the options of the old one.

    Args:
        spec, run: of the pool.
        overrides: as for ``load``.

    Raises:
        UsageError: names the key that is unknown or has an invalid value.
    """
    table = msgspec.to_builtins(spec) | {"run": msgspec.to_builtins(run)}
    table["task"]["model_sha256"] = ""
    if overrides.get("task.id", spec.task.id) != spec.task.id:
        table["task"] = {}
    if overrides.get("learner.name", table["learner"]["name"]) != table["learner"]["name"]:
        table["learner"], table["branches"] = {}, {}
        table.pop("exploration")
    return _resolve(table, overrides, "", spec, None)


def _resolve(
    table: dict[str, Any],
    overrides: Mapping[str, Any],
    source: str,
    existing: Spec | None,
    first_network: NetworkSpec | None,
) -> tuple[Spec, RunOptions]:
    for key in overrides:
        section, _, name = key.partition(".")
        if section == "learner" and isinstance(table.get("branches"), dict):
            table["branches"].pop(name, None)
    network, given = table.get("network"), table.get("learner")
    if isinstance(network, dict):
        trained_by = given.get("name") if isinstance(given, dict) else None
        trained_by = overrides.get("learner.name", trained_by)
        own = network.get("name", networks.default_name(trained_by))
        if overrides.get("network.name", own) != own:
            table["network"] = {}
    exploring = table.get("exploration")
    if isinstance(exploring, dict):
        own = exploring.get("name")
        if "exploration.preset" in overrides or overrides.get("exploration.name", own) != own:
            table["exploration"] = {}
    if isinstance(table.get("merge"), dict):
        table["merge"] = inherited(table["merge"], overrides, existing.merge if existing else None)
    for key, value in overrides.items():
        assign(table, key, value)
    try:
        run = convert({"run": table.pop("run", {})}, _RunTable, source).run
        learner = table.setdefault("learner", {})
        trained_by = learner.setdefault("name", "ppo") if isinstance(learner, dict) else None
        networks.complete(table.setdefault("network", {}), trained_by)
        exploration.complete(table)
        add_missing(table, existing, first_network)
        return convert(table, Spec, source), run
    except RecursionError:
        raise UsageError(f"{source}: nested too deeply") from None


def differing_keys(old: Spec, new: Spec) -> list[str]:
    """Dotted keys in which two specifications differ, each formatted with both values.

    Args:
        old: of the pool.
        new: of the current configuration.
    """
    left, right = flatten(msgspec.to_builtins(old)), flatten(msgspec.to_builtins(new))
    keys = sorted(left.keys() | right.keys())
    absent = "absent"
    return [
        f"{key} ({left.get(key, absent)} in the pool, {right.get(key, absent)} now)"
        for key in keys
        if left.get(key, absent) != right.get(key, absent)
    ]
