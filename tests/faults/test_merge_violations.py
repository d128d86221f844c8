"""Violations of the merge rules: the checker and ``poolrl verify`` find each that is planted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from poolrl.config.run_options import RunOptions
from poolrl.monitoring.verify import verify_files
from poolrl.pool.directory import make_pool, open_pool
from poolrl.pool.stop_criteria import StopCriteria
from poolrl.worker.loop import Worker
from tests.conftest import tiny_spec
from tests.faults.checker import check

RULES: dict[str, dict[str, object]] = {
    "candidates": {"merge__candidates": [1, 2], "merge__fallback": 1},
    "mean": {"merge__rule": "mean", "merge__fallback": 1},
    "update": {
        "merge__rule": "update",
        "merge__fallback": 1,
        "learner__name": "ppo",
        "learner__minibatch_size": 8,
    },
}
EVOLVING = {"branches__learning_rate": {"evolve": 0.5}}
OTHER = "0" * 64


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A finished pool of each rule."""
    pools = {}
    for name, keys in RULES.items():
        root = tmp_path_factory.mktemp("sound") / name
        evolving = EVOLVING if name != "update" else {}
        spec = tiny_spec(selection__keep_parent=False, **evolving, **keys)
        pool = make_pool(root, spec, RunOptions(4))
        Worker(pool, StopCriteria(4), run=RunOptions(4, keep="all")).run()
        assert check(root, keep="all", iterations=4) == []
        pools[name] = root
    return pools


def listed_score(table: dict[str, Any]) -> None:
    table["deposits"][0]["score"] = 1e6


def fewer(table: dict[str, Any]) -> None:
    del table["deposits"][1]


def other_sources(table: dict[str, Any]) -> None:
    table["sources_sha256"] = OTHER


def since(table: dict[str, Any]) -> None:
    table["best_ever"]["iterations_since"] += 1


def score(table: dict[str, Any]) -> None:
    table["best_ever"]["champion"]["score"] += 1


def value(table: dict[str, Any]) -> None:
    table["hyperparameters"]["learning_rate"] *= 1.5


def no_value(table: dict[str, Any]) -> None:
    del table["hyperparameters"]


def evaluated(table: dict[str, Any]) -> None:
    numbers = {"returns": [1.0] * 3, "lengths": [4] * 3, "score": 1.0, "standard_error": 0.0}
    table["evaluation"] = {"deterministic": True} | numbers


def other_rollout(table: dict[str, Any]) -> None:
    table["rollout_sha256"] = OTHER


def twice(table: dict[str, Any]) -> None:
    table["training"]["environment_steps"] *= 2


def counted_twice(table: dict[str, Any]) -> None:
    table["training_steps"] += 24


@pytest.mark.parametrize(
    ("rule", "name", "plant"),
    [
        ("candidates", "sources", listed_score),
        ("candidates", "sources", fewer),
        ("candidates", "candidate-001", other_sources),
        ("candidates", "merge", since),
        ("candidates", "merge", score),
        ("candidates", "merge", value),
        ("candidates", "merge", no_value),
        ("candidates", "branch-000", value),
        ("candidates", "branch-002", value),
        ("mean", "merge", since),
        ("mean", "merge", value),
        ("mean", "branch-001", evaluated),
        ("update", "sources", fewer),
        ("update", "branch-001", other_rollout),
        ("update", "branch-001", evaluated),
        ("update", "update-000", other_sources),
        ("update", "update-000", evaluated),
        ("update", "update-000", twice),
        ("update", "merge", since),
        ("update", "merge", counted_twice),
    ],
)
def test_a_planted_violation_is_found(
    sound: dict[str, Path],
    tmp_path: Path,
    rule: str,
    name: str,
    plant: Callable[[dict[str, Any]], None],
) -> None:
    root = shutil.copytree(sound[rule], tmp_path / "pool")
    path = root / f"iterations/000003/{name}.json"
    table = json.loads(path.read_text())
    plant(table)
    path.write_text(json.dumps(table))
    found = verify_files(open_pool(root)).discrepancies
    assert any(each.path.startswith("iterations/000003/") for each in found)
    violations = check(root, keep="all", iterations=4)
    assert any("iterations/000003/" in each for each in violations) or name == "branch-002"


def test_missing_sources_are_found(sound: dict[str, Path], tmp_path: Path) -> None:
    root = shutil.copytree(sound["candidates"], tmp_path / "pool")
    (root / "iterations/000002/sources.json").unlink()
    assert any("sources.json" in each for each in check(root, keep="all"))
    found = verify_files(open_pool(root)).discrepancies
    assert any(each.path.endswith("sources.json") for each in found)
