"""Loading: the default, files, overrides, and errors that name the file."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import tomli_w

from poolrl.config import tables
from poolrl.config.loading import differing_keys, load
from poolrl.config.merging import MergeSpec
from poolrl.errors import UsageError

CONFIGS = Path(__file__).parents[2] / "configs"


def test_the_default_is_the_shipped_swimmer() -> None:
    assert load(CONFIGS / "swimmer.toml") == load(None)


SHIPPED = sorted(path.relative_to(CONFIGS).as_posix() for path in CONFIGS.rglob("*.toml"))


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_configuration_loads(name: str) -> None:
    spec, _ = load(CONFIGS / name)
    spec.hyperparameters(0)


def test_a_spec_survives_toml(tmp_path: Path) -> None:
    spec, run = load(None, {"branches.learning_rate": [1e-4, 1e-3], "run.iterations": 7})
    table = tables.without_none(msgspec.to_builtins(spec) | {"run": msgspec.to_builtins(run)})
    path = tmp_path / "again.toml"
    path.write_text(tomli_w.dumps(table))
    assert load(path) == (spec, run)


def test_run_options_are_not_hashed_and_results_are() -> None:
    def identity(**keys: object) -> str:
        return tables.sha256(msgspec.to_builtins(load(None, keys)[0]))

    base = identity()
    assert identity(**{"run.iterations": 5, "run.workers": 3}) == base
    assert identity(**{"learner.discount": 0.5}) != base
    assert identity(**{"pool.seed": 1}) != base


def test_another_task_has_its_own_time_limit() -> None:
    assert load(None)[0].task.max_episode_steps == 500
    assert load(None, {"task.id": "Plateau-v0"})[0].task.max_episode_steps == 0


def test_another_merge_rule_has_its_own_options() -> None:
    mean = CONFIGS / "pools" / "swimmer.toml"
    assert load(mean)[0].merge == MergeSpec(rule="mean", momentum=0.5)
    assert load(mean, {"merge.rule": "mean"}) == load(mean)
    assert load(mean, {"merge.rule": "best"})[0].merge == MergeSpec()
    keys = {"merge.rule": "update", "merge.minibatches": 8, "branches.gae_lambda": [0.99]}
    assert load(mean, keys)[0].merge == MergeSpec(rule="update", minibatches=8)


def test_a_single_branch_is_not_averaged(tmp_path: Path) -> None:
    mean, one = CONFIGS / "pools" / "swimmer.toml", {"pool.count": 1}
    assert load(mean, one)[0].merge == MergeSpec()
    asked = load(mean, one | {"merge.rule": "mean"})[0]
    assert asked.merge == MergeSpec(rule="mean", momentum=0.5)
    assert load(mean, one, existing=asked)[0].merge == asked.merge
    path = tmp_path / "mine.toml"
    path.write_text('[merge]\nrule = "mean"\nstep = 2.0\nfallback = 4\n')
    assert load(path, one)[0].merge == MergeSpec(fallback=4)
    path.write_text("[pool]\ncount = 1\n" + path.read_text())
    assert load(path)[0].merge == MergeSpec(rule="mean", step=2.0, fallback=4)


def test_errors_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[pool]\ncuont = 3\n")
    with pytest.raises(UsageError, match=r"mine\.toml: pool\.cuont"):
        load(path)
    path.write_text("[pool\n")
    with pytest.raises(UsageError, match=r"mine\.toml: not valid TOML"):
        load(path)
    path.write_text("[branches]\nlearning_rate = [-1]\n")
    with pytest.raises(UsageError, match=r"mine\.toml: branches\.learning_rate"):
        load(path)
    with pytest.raises(UsageError, match=r"absent\.toml: No such file"):
        load(tmp_path / "absent.toml")


def test_a_value_that_is_asked_for_holds_on_every_branch() -> None:
    default, _ = load(None)
    assert len({default.hyperparameters(b).learning_rate for b in range(10)}) > 1
    one, _ = load(None, {"learner.learning_rate": 5e-4})
    assert {one.hyperparameters(b).learning_rate for b in range(10)} == {5e-4}
    both, _ = load(None, {"branches.learning_rate": [1e-3, 2e-3], "learner.learning_rate": 5e-4})
    assert {both.hyperparameters(b).learning_rate for b in range(10)} == {1e-3, 2e-3}


def test_differing_keys_show_both_values() -> None:
    other = load(None, {"pool.seed": 3, "task.kwargs.frame_skip": 2})[0]
    assert differing_keys(load(None)[0], other) == [
        "pool.seed (0 in the pool, 3 now)",
        "task.kwargs.frame_skip (absent in the pool, 2 now)",
    ]
