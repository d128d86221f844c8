"""The section `[exploration]`: what it means, what is refused, and pools without it."""

from __future__ import annotations

from inspect import signature
from pathlib import Path
from typing import Any

import msgspec
import pytest

from poolrl.config.exploration import PRESETS, DEPSpec, NoExploration, PinkSpec
from poolrl.config.loading import load, load_over
from poolrl.config.run_options import RunOptions
from poolrl.config.schema import Spec
from poolrl.dep import DEP
from poolrl.errors import UsageError
from poolrl.pool.directory import make_pool, open_pool
from tests.conftest import tiny_spec


def spec_of(**keys: Any) -> Spec:
    given = {"task.id": "Swimmer-v5", "learner.name": "dep"} | {
        key.replace("__", "."): value for key, value in keys.items()
    }
    return load(None, given)[0]


def test_the_learner_dep_explores_by_pure_dep() -> None:
    assert spec_of().exploration == DEPSpec(mode="pure")
    assert spec_of(exploration__kappa=7).exploration == DEPSpec(mode="pure", kappa=7)


def test_noise_alone() -> None:
    found = spec_of(exploration__name="pink", exploration__scale=1).exploration
    assert found == PinkSpec(scale=1.0)


def test_defaults_are_those_of_the_library() -> None:
    own = {name: value.default for name, value in signature(DEP).parameters.items()}
    spec = msgspec.to_builtins(DEPSpec())
    assert own.keys() - spec.keys() == {"num_envs", "num_actuators", "with_learning"}
    assert {name: own[name] for name in own.keys() & spec.keys()} == {
        name: spec[name] for name in own.keys() & spec.keys()
    }


@pytest.mark.parametrize("name", PRESETS)
def test_presets_become_values(name: str) -> None:
    found = msgspec.to_builtins(spec_of(exploration__preset=name, exploration__tau=9).exploration)
    expected = msgspec.to_builtins(DEPSpec(mode="pure")) | PRESETS[name] | {"tau": 9}
    assert found == expected


def test_a_preset_over_a_pool_is_a_whole_one() -> None:
    old = spec_of(exploration__kappa=5.0)
    new, _ = load_over(old, RunOptions(), {"exploration.preset": "scone"})
    assert new == spec_of(exploration__preset="scone")
    noise, _ = load_over(old, RunOptions(), {"exploration.name": "white"})
    assert noise == spec_of(exploration__name="white")
    assert load_over(old, RunOptions(), {"learner.name": "ppo"})[0].exploration == NoExploration()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"exploration__tau": 150, "exploration__time_dist": 60},
            r"exploration: tau \+ time_dist = 210 steps do not fit into buffer_size = 200",
        ),
        ({"exploration__tau": 2}, "exploration.tau: expected int >= 3, got 2"),
        ({"exploration__kapa": 2}, "exploration.kapa: unknown key; did you mean kappa"),
        ({"exploration__name": "brown"}, "exploration.name: unknown value 'brown'; known: none, "),
        ({"exploration__name": "none"}, "exploration.name: learner.name = dep explores and does"),
        ({"exploration__mode": "stochastic"}, "exploration.mode: stochastic mixes DEP with"),
        ({"exploration__mode": "mixed"}, "exploration.mode: unknown value 'mixed'; known: prefill"),
        ({"exploration__preset": "horse"}, "exploration.preset: unknown value 'horse'; known: def"),
        ({"exploration__name": "ou", "exploration__preset": "scone"}, "exploration.preset: of dep"),
        ({"exploration": 3}, "exploration: expected object"),
        (
            {"learner__name": "ppo", "exploration__name": "dep"},
            "exploration.name: dep is not for learner.name = ppo, which learns from the actions of",
        ),
        (
            {"learner__name": "reinforce", "exploration__name": "pink"},
            "exploration.name: pink is not for learner.name = reinforce",
        ),
        ({"merge__rule": "update"}, "merge.rule = update: makes one update"),
        (
            {"branches__learning_rate": [1e-3]},
            "branches.learning_rate: not a hyper-parameter of the learner; known: none",
        ),
    ],
)
def test_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=f"^{message}"):
        spec_of(**keys)


def test_pools_without_it_have_no_section(tmp_path: Path) -> None:
    make_pool(tmp_path / "pool", tiny_spec(), RunOptions())
    text = (tmp_path / "pool/pool.toml").read_text()
    assert "exploration" not in text
    assert "schema = 1" in text
    assert open_pool(tmp_path / "pool").spec.exploration == NoExploration()


def test_older_versions_refuse_pools_with_it(tmp_path: Path) -> None:
    spec = spec_of(exploration__preset="myosuite")
    make_pool(tmp_path / "pool", spec, RunOptions())
    assert "schema = 2" in (tmp_path / "pool/pool.toml").read_text()
    assert open_pool(tmp_path / "pool").spec == spec
