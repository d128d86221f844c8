"""`poolrl run --learner dep`: what it deposits, and what is refused before a pool is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from poolrl.agent import Agent
from poolrl.networks.parameters import extrema_of
from tests.helpers.command_line import assert_refused, in_process
from tests.helpers.pools import champion_file

DEP = "learner.name=dep"
MPO = ("learner.name=mpo", "exploration.name=dep")

SMALL = (
    *("--iterate-episodes", "2", "--evaluate-episodes", "1", "--pool-count", "2"),
    *("--iterations", "1", "--one-worker", "--set", "pool.closing_episodes=1"),
    *("--set", "task.max_episode_steps=12"),
)


def test_a_pool_that_explores(tmp_path: Path) -> None:
    explored = ("--learner", "dep", "--task", "Quadruped-v0", "--set", "exploration.tau=5")
    done = in_process("run", "--pool-directory", "pool", *explored, *SMALL, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    agent = Agent.load(champion_file(tmp_path / "pool", 1))
    assert (agent.metadata.learner, agent.metadata.updates) == ("dep", 0)
    assert extrema_of(agent.arrays)["length_min"].shape == (12,)
    verified = in_process("verify", "pool", "--all", cwd=tmp_path)
    assert (verified.returncode, verified.stderr) == (0, "")
    other = in_process(
        "run", "--pool-directory", "pool", "--set", "exploration.tau=6", cwd=tmp_path
    )
    assert other.returncode == 4
    assert "exploration.tau (5 in the pool, 6 now)" in other.stderr


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ([DEP, "task.id=CartPole-v1"], "exploration.name = dep: needs real numbers between bounds"),
        (
            [DEP, "task.id=Pendulum-v1"],
            "exploration.name = dep: Pendulum-v1 does not tell the state of its actuators",
        ),
        (
            [DEP, "task.id=Swimmer-v5", "exploration.tau=190", "exploration.time_dist=11"],
            "exploration: tau + time_dist = 201 steps do not fit into buffer_size = 200",
        ),
        ([DEP, "task.id=Swimmer-v5", "exploration.mode=alternating"], "exploration.mode: altern"),
        (["exploration.name=dep"], "exploration.name: dep is not for learner.name = ppo"),
        (
            ["learner.name=reinforce", "exploration.name=white"],
            "exploration.name: white is not for learner.name = reinforce",
        ),
        ([*MPO, "task.id=Pendulum-v1"], "exploration.name = dep: Pendulum-v1 does not tell"),
        (
            [*MPO, "task.id=Swimmer-v5", "exploration.mode=prefill"],
            "exploration.prefill_steps: with mode = prefill it must not be 0",
        ),
        (["exploration.name=pink"], "exploration.name: pink is not for learner.name = ppo"),
    ],
)
def test_refused(tmp_path: Path, keys: list[str], message: str) -> None:
    assert_refused(tmp_path, keys, message)


def test_other_actions_than_actuators(tmp_path: Path) -> None:
    (tmp_path / "tied.py").write_text(TIED)
    done = in_process(
        *("run", "--pool-directory", "pool", "--learner", "dep"),
        *("--task", "tied.py:Tied"),
        cwd=tmp_path,
    )
    assert done.returncode == 2
    assert "moves each actuator by its own length, but " in done.stderr
    assert "tied.py:Tied has 2 actuators and actions of 1 numbers" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "pool").exists()


TIED = """
import numpy as np
from gymnasium.spaces import Box

from poolrl.tasks.mujoco.swimmer import Swimmer


class Tied(Swimmer):
    \"\"\"Both joints get the same control.\"\"\"

    def __init__(self, num_simulations, *, max_episode_steps=5):
        super().__init__(num_simulations, max_episode_steps=max_episode_steps)
        self.action_space = Box(-1.0, 1.0, (1,), np.float32)

    def apply(self, action):
        self.ctrl[...] = action
"""
