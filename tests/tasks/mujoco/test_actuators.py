"""Actuators without a control range move freely; pools of earlier versions go on as they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box
from msgspec.structs import replace

from poolrl import tasks
from poolrl.config.run_options import RunOptions
from poolrl.errors import UsageError
from poolrl.monitoring.history import History
from poolrl.pool.directory import Pool, make_pool
from poolrl.tasks.check import check_task
from poolrl.tasks.mujoco import base
from poolrl.worker.unit_computation import UnitComputation
from tests.conftest import tiny_spec
from tests.helpers.command_line import in_process
from tests.helpers.workers import work

MODEL = """<mujoco><worldbody><body name="torso" pos="0 0 .5"><freejoint/><geom size=".2"/>
<body pos=".2 0 0"><joint name="a" axis="0 1 0"/><geom size=".05"/></body>
<body pos="-.2 0 0"><joint name="b" axis="0 1 0"/><geom size=".05"/></body></body></worldbody>
<actuator>{actuators}</actuator></mujoco>"""

MIXED = '<motor name="left" joint="a" gear="20"/><motor joint="b" ctrlrange="-1 2"/>'
BOUNDS = {
    MIXED: ([-np.inf, -1], [np.inf, 2]),
    '<motor joint="a"/><position joint="b"/>': ([-np.inf] * 2, [np.inf] * 2),
    '<motor joint="a" ctrllimited="false" ctrlrange="-3 3"/>': ([-3], [3]),
    '<motor joint="a" ctrlrange="-1e39 1e39"/>': ([-np.inf], [np.inf]),
    '<motor joint="a" ctrlrange="0 3e38"/>': ([0], [np.inf]),
}


def keys(folder: Path, actuators: str, **others: Any) -> dict[str, Any]:
    (folder / "robot.xml").write_text(MODEL.format(actuators=actuators))
    return others | {
        "task__id": "HalfCheetah-v5",
        "task__kwargs": {"xml_file": str(folder / "robot.xml")},
    }


@pytest.mark.parametrize("actuators", BOUNDS)
@pytest.mark.filterwarnings("error")
def test_bounds_are_the_control_ranges(tmp_path: Path, actuators: str) -> None:
    computation = UnitComputation(tiny_spec(**keys(tmp_path, actuators)))
    space = computation.make_task(1).action_space
    assert isinstance(space, Box)
    assert (space.low.tolist(), space.high.tolist()) == BOUNDS[actuators]
    own = computation.initial_agent().metadata
    assert own.action_space.space() == space
    assert own.network.distribution == ("beta" if space.is_bounded() else "gaussian")


def test_beta_is_refused_for_what_has_no_range(tmp_path: Path) -> None:
    spec = tiny_spec(**keys(tmp_path, MIXED, network__distribution="beta"))
    with pytest.raises(UsageError, match=r"network\.distribution: beta does not suit"):
        UnitComputation(spec).initial_agent()


def test_a_model_without_actuators_is_refused_before_a_pool_is_made(tmp_path: Path) -> None:
    keys(tmp_path, "")
    said = in_process(
        *("run", "--pool-directory", "pool", "--task", "HalfCheetah-v5"),
        *("--task-arg", "xml_file=./robot.xml"),
        cwd=tmp_path,
    )
    assert said.returncode == 2
    assert "the model has no actuator" in said.stderr.splitlines()[-1]
    assert not (tmp_path / "pool").exists()


class Adapted(gymnasium.Env[Any, Any]):
    """What Gymnasium's ``MujocoEnv`` does with a model: its action space are the ranges."""

    def __init__(self, xml_file: str) -> None:
        self.model = base.load_model(xml_file)
        self.observation_space = Box(-1, 1, (1,), np.float64)
        low, high = self.model.actuator_ctrlrange.T
        self.action_space = Box(low, high, dtype=np.float64)

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        return np.zeros(1), {}

    def step(self, action: Any) -> Any:
        return np.zeros(1), 0.0, False, False, {}


def test_an_adapted_model_with_dead_actuators_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gymnasium.register("Adapted-v0", Adapted, max_episode_steps=4)  # type: ignore[arg-type]
    try:
        spec = tiny_spec(**keys(tmp_path, MIXED) | {"task__id": "Adapted-v0"})
        tasks.permit(spec.task, "Adapted-v0")
        with pytest.raises(UsageError, match=r"without ctrlrange, which can never move: left;"):
            check_task(spec.task)
    finally:
        del gymnasium.registry["Adapted-v0"]


def of_earlier_versions(model: Any) -> Box:
    low, high = model.actuator_ctrlrange.astype(np.float32).T
    return Box(low, high, dtype=np.float32)


@pytest.mark.parametrize("distribution", ["auto", "beta"])
def test_a_pool_with_dead_actuators_goes_on_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, distribution: str
) -> None:
    spec = tiny_spec(**keys(tmp_path, MIXED, network__distribution=distribution))
    sha256 = UnitComputation(spec).model_sha256
    spec = replace(spec, task=replace(spec.task, model_sha256=sha256))

    def pool(name: str) -> Pool:
        return make_pool(tmp_path / name, spec, RunOptions(iterations=3))

    def champions(history: History) -> list[str]:
        return [merge.champion.sha256 for merge in history.merges]

    with monkeypatch.context() as earlier:
        earlier.setattr(base, "control_space", of_earlier_versions)
        work(pool("mended"), 1)
        expected = champions(work(pool("earlier"), 3))
    assert champions(work(pool("mended"), 3)) == expected
    said = in_process("verify", "mended", "--all", cwd=tmp_path)
    assert said.returncode == 0, said.stdout
    said = in_process("evaluate", "mended", "--episodes", "2", cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    arguments = ["--workers", "1", "--pool-directory", "mended", "--iterations", "3"]
    said = in_process("run", *arguments, cwd=tmp_path)
    assert said.returncode == 0, said.stderr
