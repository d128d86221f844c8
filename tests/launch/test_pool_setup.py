"""What is refused before a pool is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.command_line import assert_refused

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


@pytest.mark.parametrize("message", CASES)
def test_what_one_branch_cannot_do_is_refused(tmp_path: Path, message: str) -> None:
    at_once = ["run.iterations=0", "run.workers=1"]
    assert_refused(tmp_path, [*CASES[message], *at_once], message)
