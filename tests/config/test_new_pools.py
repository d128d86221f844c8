"""Keys that mean one thing in new pools and another in pools without them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from poolrl.config.learners import PPO, RandomSearch, Reinforce
from poolrl.config.loading import load, load_over
from poolrl.config.mpo import MPO
from poolrl.config.networks import MLPSpec, QMLPSpec
from poolrl.config.new_pools import NEW_POOL_DEFAULTS
from poolrl.config.run_options import RunOptions
from poolrl.config.schema import Spec
from poolrl.config.tables import flatten
from poolrl.errors import UsageError

LEARNERS = {"ppo": PPO(), "reinforce": Reinforce(), "climb": RandomSearch(), "mpo": MPO()}


def values(spec: Spec) -> dict[str, Any]:
    flat = flatten(msgspec.to_builtins(spec))
    return {key: flat[key] for key in NEW_POOL_DEFAULTS if key in flat}


@pytest.mark.parametrize("name", LEARNERS)
def test_a_new_pool_has_the_new_meanings(name: str, tmp_path: Path) -> None:
    config = tmp_path / "mine.toml"
    config.write_text(f'[learner]\nname = "{name}"\n')
    for spec in (load(config)[0], load(None, {"learner.name": name})[0]):
        found = values(spec)
        assert found == {key: NEW_POOL_DEFAULTS[key] for key in found}
    assert len(found) == {"ppo": 5, "reinforce": 4, "climb": 2, "mpo": 3}[name]


@pytest.mark.parametrize("name", LEARNERS)
def test_an_old_pool_keeps_the_old_meanings(name: str) -> None:
    network = QMLPSpec() if name == "mpo" else MLPSpec()
    old = Spec(learner=LEARNERS[name], network=network)
    assert values(old) != {key: NEW_POOL_DEFAULTS[key] for key in values(old)}
    again, _ = load(None, {"learner.name": name}, existing=old)
    assert values(again) == values(old)
    assert values(load_over(old, RunOptions(), {"pool.seed": 3})[0]) == values(old)


def test_what_a_configuration_says_holds() -> None:
    said = {key: not value for key, value in NEW_POOL_DEFAULTS.items() if isinstance(value, bool)}
    said |= {"network.normalizer_precision": "single", "learner.gradient_clipping": "joint"}
    for existing in (None, Spec(), load(None)[0]):
        assert values(load(None, said, existing=existing)[0]) == said


def test_another_learner_takes_nothing_from_the_pool() -> None:
    new, _ = load(None, {"learner.name": "reinforce"}, existing=Spec())
    assert new.learner == load(None, {"learner.name": "reinforce"})[0].learner
    assert new.network == MLPSpec()


def test_the_first_agent_keeps_its_arithmetic() -> None:
    assert load(None, first_network=MLPSpec())[0].network.normalizer_precision == "single"
    explicit = {"network.normalizer_precision": "double"}
    found, _ = load(None, explicit, first_network=MLPSpec())
    assert found.network.normalizer_precision == "double"


@pytest.mark.parametrize("key", ["network", "learner"])
def test_a_value_for_a_table_is_still_refused_by_name(key: str) -> None:
    with pytest.raises(UsageError, match=key):
        load(None, {key: 3})


def test_branches_share_the_arrays_of_the_critic() -> None:
    with pytest.raises(UsageError, match=r"branches\.normalize_values: .*tensors"):
        load(None, {"branches.normalize_values": [True, False]})


def test_a_pool_without_a_baseline_has_no_normalised_values() -> None:
    keys = {"learner.name": "reinforce", "learner.baseline": "none"}
    spec, _ = load(None, keys)
    assert not spec.learner.normalize_values  # type: ignore[union-attr]
