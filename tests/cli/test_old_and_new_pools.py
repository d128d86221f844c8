"""Pools that are made new have the new meanings, and agents pass between old and new pools."""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import poolrl
from poolrl.networks.value_normalizer import PREFIX
from tests.conftest import as_options
from tests.helpers.command_line import in_process
from tests.helpers.pools import agent_header, champion_file

FROZEN = Path(__file__).parents[1] / "frozen/pools"
OLD_AGENT = FROZEN / "from_agent/agent.safetensors"

SMALL: dict[str, Any] = {
    "pool.count": 2,
    "pool.iterate_steps": 64,
    "pool.evaluate_episodes": 2,
    "pool.closing_episodes": 2,
    "task.max_simulations": 4,
    "network.actor": [8],
    "network.critic": [8],
    "learner.segment_steps": 16,
    "learner.minibatch_size": 32,
    "learner.epochs": 2,
}
OLD = {
    "network.normalizer_precision": "single",
    "learner.gradient_clipping": "joint",
    "learner.normalize_values": False,
    "learner.standardize_single": True,
}


def run(folder: Path, pool: str, *options: object, keys: dict[str, Any] | None = None) -> str:
    words = ["run", FROZEN / "from_agent/hopper.toml", "--pool-directory", pool, "--one-worker"]
    done = in_process(*words, *as_options(SMALL | (keys or {})), *options, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def spec(pool: Path) -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((pool / "pool.toml").read_text())["spec"]
    return table


def verify(pool: Path) -> None:
    done = in_process("verify", "--all", pool, cwd=pool.parent)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_new_pool_names_the_new_meanings_and_resumes_to_the_same_bytes(tmp_path: Path) -> None:
    run(tmp_path, "whole", "--iterations", 2)
    run(tmp_path, "parts", "--iterations", 1)
    run(tmp_path, "parts", "--iterations", 2)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert spec(whole)["network"]["normalizer_precision"] == "double"
    learner = spec(whole)["learner"]
    assert learner["gradient_clipping"] == "separate"
    assert learner["normalize_values"]
    assert not learner["standardize_single"]
    assert champion_file(whole, 2).read_bytes() == champion_file(parts, 2).read_bytes()
    agent = champion_file(whole, 2)
    assert agent_header(agent)["network"]["normalizer_precision"] == "double"
    assert f"{PREFIX}mean" in poolrl.load(agent).arrays
    verify(whole)
    # Nor does the pool's own configuration ask for another one.
    done = in_process("run", "--pool-directory", "parts", "--iterations", "2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_pool_with_the_old_meanings_goes_on_by_a_command_without_them(tmp_path: Path) -> None:
    run(tmp_path, "old", "--iterations", 1, keys=OLD)
    pool = tmp_path / "old"
    text = (pool / "pool.toml").read_text()
    for key in OLD:
        assert key.split(".")[1] in text
    run(tmp_path, "old", "--iterations", 2)
    run(tmp_path, "whole", "--iterations", 2, keys=OLD)
    assert champion_file(pool, 2).read_bytes() == champion_file(tmp_path / "whole", 2).read_bytes()
    assert "normalizer_precision" not in agent_header(champion_file(pool, 2))["network"]
    assert not any(name.startswith(PREFIX) for name in poolrl.load(champion_file(pool, 2)).arrays)
    verify(pool)


@pytest.mark.parametrize("key", OLD)
def test_another_meaning_is_another_pool(key: str, tmp_path: Path) -> None:
    shutil.copytree(FROZEN / "from_agent/pool", tmp_path / "pool")
    command = json.loads((FROZEN / "from_agent/frozen.json").read_text())["command"]
    places = {"{config}": FROZEN / "from_agent/hopper.toml", "{pool}": "pool"}
    words = [places.get(word, OLD_AGENT if word == "{agent}" else word) for word in command]
    new = {"network.normalizer_precision": "double", "learner.gradient_clipping": "separate"}
    value = new.get(key, not OLD[key])
    done = in_process(*words, *as_options({key: value}), cwd=tmp_path)
    assert done.returncode == 4
    assert key in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("precision", [None, "single", "double"])
def test_an_old_agent_starts_a_new_pool(precision: str | None, tmp_path: Path) -> None:
    keys = {"network.normalizer_precision": precision} if precision else {}
    for iterations in (1, 2):
        options = ["--iterations", iterations, "--from-agent", OLD_AGENT, "--seed", 5]
        run(tmp_path, "pool", *options, keys=keys)
    pool = tmp_path / "pool"
    # What is left out is the agent's own, so that it acts as it did.
    found = spec(pool)["network"]["normalizer_precision"]
    assert found == (precision or "single")
    first, last = (poolrl.load(champion_file(pool, number)) for number in (0, 2))
    assert first.metadata.network.normalizer_precision == found
    if found == "single":
        observation = np.random.default_rng(0).normal(size=(20, 11))
        assert np.array_equal(first.act(observation), poolrl.load(OLD_AGENT).act(observation))
    assert f"{PREFIX}mean" not in first.arrays
    assert f"{PREFIX}mean" in last.arrays
    verify(pool)


def test_a_new_agent_starts_a_pool_of_the_old_meanings(tmp_path: Path) -> None:
    run(tmp_path, "new", "--iterations", 1)
    agent = champion_file(tmp_path / "new", 1)
    run(tmp_path, "old", "--iterations", 1, "--from-agent", agent, keys=OLD)
    last = champion_file(tmp_path / "old", 1)
    assert not any(name.startswith(PREFIX) for name in poolrl.load(last).arrays)
    assert "normalizer_precision" not in agent_header(last)["network"]
    verify(tmp_path / "old")
