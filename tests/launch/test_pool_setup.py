"""What is refused before a pool is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.command_line import assert_refused, in_process

UNIT = ["learner.name=reinforce", "branches.policy_step=['adam','unit']"]

CASES = {
    "branches: of branch 1: learner.sequence_steps: 16 do not fit into": [
        "network.name=recurrent",
        "branches.minibatch_size=[64,8]",
    ],
    "branches: of branch 1: learner.bounds_coefficient: needs": [
        "branches.bounds_coefficient=[0,1]"
    ],
    "branches: of branch 1: learner.policy_step: unit is for linear policies": UNIT,
    "branches: of branch 1: learner.policy_step: unit is for distributions": [
        *UNIT,
        "network.actor=[]",
        "network.distribution=gaussian",
    ],
    # Of the fourth branch, beyond the longer list.
    "branches.clip_range_schedule = linear has no end: set schedule_steps": [
        "learner.name=ppo",
        "branches.clip_range_schedule=['constant','linear']",
        "branches.schedule_steps=[0,100,0]",
    ],
}


CASES |= {
    "exploration.theta: 300 times exploration.dt = 0.01 must be below 2": [
        "learner.name=mpo",
        "exploration.name=ou",
        "exploration.theta=300",
    ],
    "learner.learning_rate: 0.05, but learner.adaptive_kl keeps it within 1e-06 and 0.01": [
        "learner.adaptive_kl=0.008",
        "branches.learning_rate=[0.001,0.05]",
    ],
    "learner.replay_start: 1,000 transitions, which a branch of at most 400 steps never has": [
        "learner.name=mpo",
        "learner.replay_window=0",
        "pool.iterate_steps=400",
    ],
}


@pytest.mark.parametrize("message", CASES)
def test_what_one_branch_cannot_do_is_refused(tmp_path: Path, message: str) -> None:
    at_once = ["run.iterations=0", "run.workers=1"]
    assert_refused(tmp_path, [*CASES[message], *at_once], message)


def test_an_agent_for_which_the_learning_rate_is_zero_is_refused(tmp_path: Path) -> None:
    made = ["run", "--task", "Plateau-v0", "--workers", "1", "--pool-count", "1"]
    first = in_process(*made, "--iterations", "1", "--pool-directory", "first", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    (agent,) = tmp_path.glob("first/iterations/000001/*.safetensors")
    again = [*made, "--from-agent", str(agent), "--pool-directory", "second"]
    for key in ("learning_rate_schedule=linear", "schedule_steps=9"):
        again += ["--set", f"learner.{key}"]
    refused = in_process(*again, cwd=tmp_path)
    assert refused.returncode == 2
    assert "learner.schedule_steps: 9, after which the learning rate is 0" in refused.stderr
    assert not (tmp_path / "second").exists()
