"""Adapted environments keep to their spaces in new pools; pools and agents of earlier versions do
what they did."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from msgspec.structs import replace

import poolrl
from poolrl.own_actions import OwnActions
from tests.conftest import as_options
from tests.helpers.command_line import in_process
from tests.helpers.pools import agent_header, champion_file

# Its actions must be of its space, and of the type that Gymnasium draws.
SOURCE = """\
import gymnasium
import numpy as np
from gymnasium import spaces

class Mine(gymnasium.Env):
    observation_space = spaces.Box(-1, 1, (2,), np.float32)
    action_space = {space}

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), {{}}

    def step(self, action):
        assert action in self.action_space
        assert type(action) is {kind}, type(action)
        assert not hasattr(action, "dtype") or action.dtype == self.action_space.dtype
        observation = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        return observation, float(np.sum(action)), False, False, {{}}
"""

SPACES = {
    "a choice": "spaces.Discrete(3)",
    "a choice from 5 in a byte": "spaces.Discrete(3, start=5, dtype=np.uint8)",
    "choices with starts": "spaces.MultiDiscrete([3, 3], start=[5, -1])",
    "choices in two dimensions": "spaces.MultiDiscrete([[3, 2], [2, 2]])",
    "bits": "spaces.MultiBinary(3)",
    "a box in two dimensions": "spaces.Box(-1, 1, (2, 3), np.float32)",
    "bounds that float32 cannot hold": "spaces.Box(-0.1, 0.1, (2,), np.float64)",
    "no bounds": "spaces.Box(-np.inf, np.inf, (1, 2), np.float64)",
    "vast bounds": "spaces.Box(-1.7e308, 1.7e308, (2,), np.float64)",
    "a number": "spaces.Box(-1, 1, (), np.float16)",
}
DISCRETE = [name for name in SPACES if "a choice" in name]

SMALL: dict[str, Any] = {
    "task.max_episode_steps": 6,
    "pool.count": 2,
    "pool.iterate_episodes": 2,
    "pool.evaluate_episodes": 2,
    "pool.closing_episodes": 2,
    "network.actor": [4],
    "network.critic": [4],
    "learner.episodes_per_update": 2,
}
OLD = {"task.exact_spaces": False}


def write(folder: Path, space: str, kind: str) -> spaces.Space[Any]:
    """Write the environment; return its action space.

    Args:
        folder: of the file ``mine.py``.
        space: key of ``SPACES``.
        kind: type of the actions, as an expression.
    """
    text = SPACES[space]
    (folder / "mine.py").write_text(SOURCE.format(space=text, kind="KIND") + f"\nKIND = {kind}\n")
    found: spaces.Space[Any] = eval(text, {"spaces": spaces, "np": np})
    return found


def run(folder: Path, pool: str, *options: object, keys: dict[str, Any] | None = None) -> None:
    words = ["run", "--task", "mine.py:Mine", "--pool-directory", pool, "--one-worker"]
    done = in_process(*words, *as_options(SMALL | (keys or {})), *options, cwd=folder)
    assert done.returncode == 0, done.stderr


def succeed(*words: object, cwd: Path) -> None:
    done = in_process(*words, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr


SAMPLED = "type(Mine.action_space.sample()) if Mine.action_space.shape == () else np.ndarray"


@pytest.mark.parametrize("name", SPACES)
def test_agents_act_in_the_space_that_they_were_trained_in(name: str, tmp_path: Path) -> None:
    space = write(tmp_path, name, SAMPLED)
    run(tmp_path, "pool", "--iterations", 1)
    pool = tmp_path / "pool"
    path = champion_file(pool, 1)
    assert agent_header(path)["own_actions"]
    agent = poolrl.load(path)
    observations = np.random.default_rng(1)
    for generator in (None, np.random.default_rng(0)):
        for _ in range(5):
            action = agent.act(observations.uniform(-1, 1, 2), generator=generator)
            assert isinstance(action, np.integer if name in DISCRETE else np.ndarray)
            assert action.dtype == space.dtype
            assert action in space
        batch = agent.act(np.zeros((3, 2)), generator=generator)
        assert batch.shape == (3, *(space.shape or ()))
        assert batch.dtype == space.dtype
    succeed("verify", "--all", "--trust", "pool", cwd=tmp_path)
    succeed("evaluate", path, "--trust", "--episodes", "2", cwd=tmp_path)
    succeed("evaluate", "pool", "--trust", "--episodes", "2", cwd=tmp_path)


def test_an_agent_acts_where_its_environment_is_not(tmp_path: Path) -> None:
    space = write(tmp_path, "choices with starts", SAMPLED)
    run(tmp_path, "pool", "--iterations", 0)
    path = champion_file(tmp_path / "pool", 0)
    (tmp_path / "mine.py").unlink()
    code = f"import numpy, poolrl; print(poolrl.load({str(path)!r}).act(numpy.zeros(2)).tolist())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert np.array(json.loads(done.stdout)) in space


@pytest.mark.parametrize("name", SPACES)
def test_a_pool_without_the_key_goes_on_as_it_did(name: str, tmp_path: Path) -> None:
    space = write(tmp_path, name, "int" if name in DISCRETE else "np.ndarray")
    if space.shape == () and not isinstance(space, spaces.Discrete):
        write(tmp_path, name, "np.float16")  # of a box without dimensions
    run(tmp_path, "old", "--iterations", 1, keys=OLD)
    run(tmp_path, "whole", "--iterations", 2, keys=OLD)
    pool = tmp_path / "old"
    text = (pool / "pool.toml").read_text()
    assert text.count("exact_spaces = false\n") == 1
    run(tmp_path, "old", "--iterations", 2)  # by a command that leaves the key out
    last = champion_file(pool, 2)
    assert last.read_bytes() == champion_file(tmp_path / "whole", 2).read_bytes()
    assert "own_actions" not in agent_header(last)
    size = 1 if isinstance(space, spaces.Box) and space.shape == () else None
    action = poolrl.load(last).act(np.zeros(2))
    assert np.shape(action) == (() if name in DISCRETE else (size or int(np.prod(space.shape)),))
    succeed("verify", "--all", "--trust", "old", cwd=tmp_path)
    succeed("evaluate", last, "--trust", "--episodes", "2", cwd=tmp_path)


def test_agents_pass_between_old_and_new_pools(tmp_path: Path) -> None:
    space = write(tmp_path, "choices with starts", SAMPLED)
    run(tmp_path, "old", "--iterations", 1, keys=OLD)
    agent = champion_file(tmp_path / "old", 1)
    run(tmp_path, "new", "--iterations", 1, "--from-agent", agent)
    new = champion_file(tmp_path / "new", 1)
    assert tomllib.loads((tmp_path / "new/pool.toml").read_text())["spec"]["task"]["exact_spaces"]
    assert poolrl.load(new).metadata.own_actions == OwnActions.of(space)
    run(tmp_path, "back", "--iterations", 1, "--from-agent", new, keys=OLD)
    assert "own_actions" not in agent_header(champion_file(tmp_path / "back", 1))
    for pool in ("new", "back"):
        succeed("verify", "--all", "--trust", pool, cwd=tmp_path)


def test_another_meaning_is_another_pool(tmp_path: Path) -> None:
    write(tmp_path, "bits", SAMPLED)
    run(tmp_path, "pool", "--iterations", 0)
    words = ["run", "--task", "mine.py:Mine", "--pool-directory", "pool", *as_options(SMALL | OLD)]
    done = in_process(*words, cwd=tmp_path)
    assert done.returncode == 4
    assert "task.exact_spaces (True in the pool, False now)" in done.stderr
    assert done.stderr.count("\n") == 1


def test_another_space_of_its_own_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "a box in two dimensions", SAMPLED)
    run(tmp_path, "pool", "--iterations", 0)
    path = champion_file(tmp_path / "pool", 0)
    text = (tmp_path / "mine.py").read_text()
    (tmp_path / "mine.py").write_text(text.replace("(2, 3)", "(3, 2)"))
    agent = poolrl.load(path)
    metadata = replace(agent.metadata, source_sha256="")
    path.write_bytes(poolrl.Agent(agent.arrays, metadata).to_bytes())
    done = in_process("evaluate", path, "--trust", cwd=tmp_path)
    assert done.returncode == 2
    assert "the agent's own_actions is not that of" in done.stderr


def test_late_values_are_refused_in_one_line(tmp_path: Path) -> None:
    write(tmp_path, "bits", SAMPLED)
    late = "        if (self.np_random.random() < 0.1): observation = observation[:1]\n"
    text = (tmp_path / "mine.py").read_text()
    (tmp_path / "mine.py").write_text(
        text.replace("        return observation", f"{late}        return observation")
    )
    words = ["run", "--task", "mine.py:Mine", "--pool-directory", "pool", "--workers", "1"]
    keys = SMALL | {"task.max_episode_steps": 200}
    done = in_process(*words, "--iterations", "1", *as_options(keys), cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "Mine: step().observation must be an array (2,) of numbers: (1,) of" in done.stderr
    assert done.stderr.count("\n") == 1
