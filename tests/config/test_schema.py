"""Configurations: what is read, what is refused, and in which words."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import tomli_w

from poolrl.config import schema as config
from poolrl.config import tables
from poolrl.errors import UsageError

CONFIGS = Path(__file__).parent.parent / "configs"


def test_the_default_is_the_shipped_swimmer() -> None:
    assert config.load(CONFIGS / "swimmer.toml") == config.load(None)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda p: p.name)
def test_every_shipped_configuration_loads(path: Path) -> None:
    spec, _ = config.load(path)
    spec.hyperparameters(0)


def test_a_spec_survives_toml(tmp_path: Path) -> None:
    spec, run = config.load(None, {"branches.learning_rate": [1e-4, 1e-3], "run.iterations": 7})
    table = tables.without_none(msgspec.to_builtins(spec) | {"run": msgspec.to_builtins(run)})
    path = tmp_path / "again.toml"
    path.write_text(tomli_w.dumps(table))
    assert config.load(path) == (spec, run)


def test_run_options_are_not_hashed_and_results_are() -> None:
    def identity(**keys: object) -> str:
        return tables.sha256(msgspec.to_builtins(config.load(None, keys)[0]))

    base = identity()
    assert identity(**{"run.iterations": 5, "run.workers": 3}) == base
    assert identity(**{"learner.discount": 0.5}) != base
    assert identity(**{"pool.seed": 1}) != base


def test_another_task_has_its_own_time_limit() -> None:
    assert config.load(None)[0].task.max_episode_steps == 500
    assert config.load(None, {"task.id": "Plateau-v0"})[0].task.max_episode_steps == 0


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"pool.cuont": 3}, ["pool.cuont", "unknown key", "did you mean count"]),
        ({"pol.count": 3}, ["pol", "unknown key", "did you mean pool"]),
        ({"pool.count": 0}, ["pool.count", ">= 1", "0"]),
        ({"pool.count": "ten"}, ["pool.count", "int", "'ten'"]),
        ({"pool.count": 2.5}, ["pool.count", "int", "2.5"]),
        ({"learner.learning_rate": -1}, ["learner.learning_rate", "> 0", "-1"]),
        ({"learner.learning_rate": float("nan")}, ["learner.learning_rate", "nan"]),
        ({"learner.learning_rate": float("inf")}, ["learner.learning_rate", "inf"]),
        ({"learner.discount": 1.5}, ["learner.discount", "<= 1", "1.5"]),
        ({"learner.name": "sarsa"}, ["learner.name", "'sarsa'", "ppo"]),
        ({"learner.name": "reinforce", "learner.epochs": 2}, ["learner.epochs", "unknown key"]),
        ({"network.activation": "sine"}, ["network.activation", "'sine'", "tanh"]),
        ({"network.actor": [64, 0]}, ["network.actor[1]", ">= 1", "0"]),
        ({"task": 3}, ["task", "object"]),
        ({"branches.learning_rate": [1e-3, -1]}, ["branches.learning_rate", "> 0", "-1"]),
        ({"branches.learning_rate": []}, ["branches.learning_rate", "at least one"]),
        ({"branches.epochs": [1.5]}, ["branches.epochs", "int", "1.5"]),
        ({"branches.actor": [3]}, ["branches.actor", "tensors"]),
        ({"branches.activation": [3]}, ["branches.activation", "tensors"]),
        ({"branches.learning_rat": [3]}, ["branches.learning_rat", "did you mean learning_rate"]),
        ({"run.iterations": -1}, ["run.iterations", ">= 0", "-1"]),
        ({"run.iteration": 1}, ["run.iteration", "unknown key", "iterations"]),
        ({"pool.count.x": 1}, ["pool.count"]),
        ({"task.randomize.body_mass": {}}, ["task.randomize.body_mass", "exactly one of"]),
        (
            {"task.randomize.body_mass": {"scale": [1, 2], "add": [0, 1]}},
            ["task.randomize.body_mass: exactly one of", "got scale and add"],
        ),
        ({"task.randomize.body_mass.scale": 3}, ["task.randomize.body_mass.scale", "array", "3"]),
        ({"task.randomize.body_mass.scale": [2, 1]}, ["task.randomize.body_mass", "in order"]),
        ({"task.randomize.m.scale": [0, float("inf")]}, ["task.randomize.m", "finite"]),
        ({"task.randomize.m.scale": ["a", 1]}, ["task.randomize.m.scale[0]", "float", "'a'"]),
        ({"task.randomize.m.scal": [1, 2]}, ["randomize.m.scal", "did you mean scale"]),
        ({"task.randomize.m": 3}, ["task.randomize.m", "object", "3"]),
    ],
)
def test_what_is_wrong_is_named(overrides: dict[str, object], words: list[str]) -> None:
    with pytest.raises(UsageError) as error:
        config.load(None, overrides)
    for word in words:
        assert word in str(error.value)
    assert "\n" not in str(error.value)


def test_errors_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[pool]\ncuont = 3\n")
    with pytest.raises(UsageError, match=r"mine\.toml: pool\.cuont"):
        config.load(path)
    path.write_text("[pool\n")
    with pytest.raises(UsageError, match=r"mine\.toml: not valid TOML"):
        config.load(path)
    path.write_text("[branches]\nlearning_rate = [-1]\n")
    with pytest.raises(UsageError, match=r"mine\.toml: branches\.learning_rate"):
        config.load(path)
    with pytest.raises(UsageError, match=r"absent\.toml: No such file"):
        config.load(tmp_path / "absent.toml")


def test_branch_values_cycle() -> None:
    spec, _ = config.load(
        None, {"branches.learning_rate": [1e-4, 1e-3], "branches.epochs": [1, 2, 3]}
    )
    values = [spec.hyperparameters(branch) for branch in range(4)]
    assert [v.learning_rate for v in values] == [1e-4, 1e-3, 1e-4, 1e-3]
    assert [v.epochs for v in values] == [1, 2, 3, 1]  # type: ignore[union-attr]


def test_a_value_that_is_asked_for_holds_on_every_branch() -> None:
    default, _ = config.load(None)
    assert len({default.hyperparameters(b).learning_rate for b in range(10)}) > 1
    one, _ = config.load(None, {"learner.learning_rate": 5e-4})
    assert {one.hyperparameters(b).learning_rate for b in range(10)} == {5e-4}
    both, _ = config.load(
        None, {"branches.learning_rate": [1e-3, 2e-3], "learner.learning_rate": 5e-4}
    )
    assert {both.hyperparameters(b).learning_rate for b in range(10)} == {1e-3, 2e-3}


def test_differing_keys_show_both_values() -> None:
    other = config.load(None, {"pool.seed": 3, "task.kwargs.frame_skip": 2})[0]
    assert config.differing_keys(config.load(None)[0], other) == [
        "pool.seed (0 in the pool, 3 now)",
        "task.kwargs.frame_skip (absent in the pool, 2 now)",
    ]
