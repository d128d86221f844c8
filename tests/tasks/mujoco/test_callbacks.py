"""Callbacks of MuJoCo: in a process with a native task it neither reads a clock nor logs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import mujoco
import numpy as np
import pytest

from poolrl import tasks
from poolrl.tasks.mujoco.callbacks import stop_clock


def seconds(steps: int = 20) -> float:
    """What MuJoCo's timer of whole steps says after some."""
    model = mujoco.MjModel.from_xml_string("<mujoco/>")
    data = mujoco.MjData(model)
    mujoco.mj_step(model, data, steps)
    timer = data.timer[mujoco.mjtTimer.mjTIMER_STEP]
    assert timer.number == steps
    return float(timer.duration)


def test_the_clock_stops_and_comes_back() -> None:
    mujoco.set_mjcb_time(None)
    try:
        assert seconds() > 0
        stop_clock()
        assert seconds() == 0
    finally:
        stop_clock()


def test_a_clock_of_the_users_own_is_left_alone() -> None:
    ticks = iter(range(10_000))
    mujoco.set_mjcb_time(lambda: float(next(ticks)))
    try:
        stop_clock()
        assert seconds() > 0
    finally:
        mujoco.set_mjcb_time(None)
        stop_clock()


def test_the_clock_changes_nothing() -> None:
    def episode() -> np.ndarray:
        envs = tasks.make("Hopper-v5", 3)
        envs.reset(np.arange(3), [np.random.default_rng(i) for i in range(3)])
        action = np.full((3, 3), 0.5)
        return np.array([envs.step(action).observation for _ in range(20)])

    mujoco.set_mjcb_time(None)
    try:
        with_clock = episode()
    finally:
        stop_clock()
    assert np.array_equal(with_clock, episode())


@pytest.mark.parametrize("task_id", ["Hopper-v5", "Hopper-v4"])
def test_a_process_with_a_task_has_no_clock_and_writes_no_log(task_id: str, tmp_path: Path) -> None:
    """MuJoCo resets a state of NaN, with a warning."""
    script = f"""
import mujoco, numpy as np
from poolrl import tasks
task = tasks.make({task_id!r}, 1)
ball = "<worldbody><body><freejoint/><geom size='1'/></body></worldbody>"
model = mujoco.MjModel.from_xml_string(f"<mujoco>{{ball}}</mujoco>")
data = mujoco.MjData(model)
data.qpos[:] = np.nan
mujoco.mj_step(model, data, 3)
assert data.warning[mujoco.mjtWarning.mjWARN_BADQPOS].number == 1
assert data.timer[mujoco.mjtTimer.mjTIMER_STEP].duration == 0
"""
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert not list(tmp_path.iterdir())
