"""MyoSuite, in an environment of its own: it wants an older Gymnasium than the other tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from poolrl.monitoring.history import History
from poolrl.pool.directory import open_pool
from tests.helpers.command_line import settings

PROJECT = Path(__file__).parents[2]


STATE_OF_MUSCLES = """
import mujoco, numpy as np
from poolrl import tasks
for task_id, muscles in (("myoElbowPose1D6MRandom-v0", 6), ("myoLegWalk-v0", 80)):
    task = tasks.make(task_id, 2)
    task.reset(np.arange(2), [np.random.default_rng(i) for i in range(2)])
    for _ in range(5):
        task.step(np.full((2, muscles), 0.3, np.float32))
    state, environment = task.actuator_state(), task.environment
    model, data = environment.model, mujoco.MjData(environment.model)
    for name in ("qpos", "qvel", "act"):
        getattr(data, name)[:] = getattr(environment.data, name)
    mujoco.mj_forward(model, data)
    assert state.length.shape == (2, muscles)
    assert np.allclose(state.length[0], data.actuator_length)
    assert np.allclose(state.velocity[0], data.actuator_velocity)
    assert np.allclose(state.force[0], data.actuator_force)
    assert np.array_equal(state.activity[0], data.act)
task = tasks.make("MuscleLegsWalk-v0", 2)  # on the versions that MyoSuite wants
task.reset(np.arange(2), [np.random.default_rng(i) for i in range(2)])
assert np.isfinite(task.step(np.full((2, 80), 0.3)).observation).all()
"""
"""MyoSuite's muscles, and poolrl's own on the myo-sim and MuJoCo that MyoSuite requires."""


def python(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(directory / "venv" / "bin" / "python"), *arguments]
    return subprocess.run(
        command, cwd=directory, capture_output=True, text=True, timeout=1800, check=False
    )


@pytest.mark.full
def test_a_pool_trains_muscles(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    pins = [line for line in (PROJECT / "constraints.txt").read_text().split() if "torch=" in line]
    install = ("-m", "pip", "install", "--quiet", *pins, f"{PROJECT}[myo]")
    installed = python(tmp_path, *install)
    if installed.returncode:
        pytest.skip(f"cannot install: {installed.stderr.strip().splitlines()[-1:]}")
    overrides = settings(task__id="myoElbowPose1D6MRandom-v0", task__max_episode_steps=20)
    arguments = ["--pool-directory", "pool", "--iterations", "2", "--workers", "1", *overrides]
    said = python(tmp_path, "-m", "poolrl", "run", *arguments)
    assert said.returncode == 0, said.stderr
    history = History(open_pool(tmp_path / "pool"))
    history.refresh()
    assert len(history.merges) == 3
    assert all(unit.status == "done" for unit in history.units)
    asked = python(tmp_path, "-c", STATE_OF_MUSCLES)
    assert asked.returncode == 0, asked.stderr
