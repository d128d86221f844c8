"""`poolrl run --task` on every kind of task, two iterations each; with --full on every task."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from poolrl.tasks.registry import REGISTRY
from tests.helpers.muscles import BODIES, needs_bodies
from tests.helpers.rodents import RODENTS, needs_dm
from tests.helpers.waiting import TIMEOUT_SECONDS

EXAMPLES = Path(__file__).parents[2] / "examples"

NEED_A_MODEL = ("AnymalC-v0", "MuscleReach-v0")

SMALL = {
    "pool.count": 2,
    "pool.iterate_episodes": 2,
    "pool.evaluate_episodes": 2,
    "pool.closing_episodes": 2,
    "task.max_episode_steps": 12,
    "learner.minibatch_size": 16,
    "learner.epochs": 2,
    "run.iterations": 2,
    "run.workers": 1,
}

# One of each kind; what is native and steps like these takes longer in sum than it tells.
ALWAYS = ("InvertedPendulum-v5", "Humanoid-v5", "QuadrupedStep-v0", "Plateau-v0", "Switches-v0")

IDS = [
    *(
        pytest.param(task_id, marks=() if task_id in ALWAYS else pytest.mark.full)
        for task_id in REGISTRY
        if task_id not in (*BODIES, *NEED_A_MODEL, *RODENTS)
    ),
    *(pytest.param(task_id, marks=(needs_dm, pytest.mark.full)) for task_id in RODENTS[1:]),
    pytest.param(BODIES[0], marks=needs_bodies),  # the others take longer to load
    "CartPole-v1",
    f"{EXAMPLES}/pendulum.py:Pendulum",
    f"{EXAMPLES}/reach.py:Reach",
    pytest.param(
        "LunarLanderContinuous-v3",
        marks=pytest.mark.skipif(find_spec("Box2D") is None, reason="needs poolrl[box2d]"),
    ),
    pytest.param(
        "dm_control/quadruped-walk-v0",
        marks=pytest.mark.skipif(find_spec("dm_control") is None, reason="needs poolrl[dm]"),
    ),
]


@pytest.mark.parametrize("task_id", IDS)
def test_a_pool_trains_it(tmp_path: Path, task_id: str) -> None:
    command = [sys.executable, "-m", "poolrl", "run", "--task", task_id]
    command += [word for key, value in SMALL.items() for word in ("--set", f"{key}={value}")]
    done = subprocess.run(
        [*command, "--pool-directory", str(tmp_path / "pool")],
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "result: mean return" in done.stdout
    merge = json.loads((tmp_path / "pool/iterations/000002/merge.json").read_text())
    assert merge["champion"]["path"].startswith("iterations/")
    records = sorted((tmp_path / "pool/iterations/000002").glob("branch-*.json"))
    assert len(records) == 2
    assert all(json.loads(r.read_text())["training"]["updates"] == 1 for r in records)
