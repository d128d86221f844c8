"""Users' tasks with attributes and arguments that are named like poolrl's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box

from poolrl import tasks
from poolrl.config.schema import World
from poolrl.errors import UsageError
from poolrl.networks.policy import PolicyOutput
from poolrl.rollouts.evaluation import evaluate
from poolrl.tasks.base import Ids, StepResult, Task
from poolrl.tasks.check import check
from poolrl.tasks.mujoco import MujocoTask
from poolrl.tasks.variants import with_variants

NAMES = [
    "close",
    "info",
    "reset_info",
    "velocities",
    "senses",
    "actuator_state",
    "diverged",
    "model",
    "environment",
    "randomize",
    "task",
    "spec",
    "state",
    "_step_limit",
    "_kwargs",
    "_spec",
    "_inner",
    "_observation",
    "_environments",
    "_diverged",
    "_recreate",
    "_convert",
    "_store",
    "_count",
    "_kept",
    "_generators",
    "_started",
    "_ended",
    "_mode",
]
"""Names of poolrl's classes that a user's may have, for something else."""


class Own(Task):
    """Has an array under each name."""

    def __init__(self, num_simulations: int, *, max_episode_steps: int = 5) -> None:
        self.num_simulations, self.max_episode_steps = num_simulations, max_episode_steps
        self.observation_space = self.action_space = Box(-1, 1, (2,), np.float64)
        self.position = np.zeros((num_simulations, 2))
        self.elapsed = np.zeros(num_simulations, int)

    def reset(self, ids: Ids, generators: Any) -> None:
        for name in NAMES:  # where a constructor may not have them yet
            setattr(self, name, np.ones(3))
        self.elapsed[ids] = 0
        self.position[ids] = [generator.uniform(-1, 1, 2) for generator in generators]

    def observe(self) -> Any:
        return self.position.copy()

    def step(self, action: Any, ids: Ids | None = None) -> StepResult:
        rows = slice(None) if ids is None else ids
        self.elapsed[rows] += 1
        n = self.num_simulations
        over = self.elapsed >= self.max_episode_steps
        return StepResult(self.observe(), np.zeros(n), np.zeros(n, bool), over)


class Zero:
    def act(self, observation: Any, *others: Any) -> PolicyOutput:
        zeros = np.zeros((len(observation), 2), np.float32)
        return PolicyOutput(zeros, zeros, zeros, ())


def run(task: Task) -> None:
    results = evaluate(Zero(), task, [np.random.default_rng(i) for i in range(4)])
    assert results.lengths.tolist() == [task.max_episode_steps] * 4


def test_a_task_may_use_the_names_of_optional_methods() -> None:
    check(lambda n, limit: Own(n, max_episode_steps=limit), "own")
    task = with_variants(Own(2), World(id="own", action_repeat=1))
    run(task)
    run(with_variants(task, World(id="own", action_repeat=2)))
    assert tasks.fingerprint(task) == ""
    tasks.close(task, World(id="own"))


def test_its_values_are_not_taken_for_velocities() -> None:
    task = Own(1)
    task.reset(np.arange(1), [np.random.default_rng()])
    with pytest.raises(UsageError, match="does not say which"):
        with_variants(task, World(id="own", mask_velocities=True))


def test_a_vector_environment_of_it_works() -> None:
    environments = tasks.TaskVectorEnv(Own(2))
    environments.reset(seed=1)
    for _ in range(7):
        infos = environments.step(np.zeros((2, 2)))[4]
    assert infos == {}
    environments.close()


class Adapted(gymnasium.Env[Any, Any]):
    """Has a string under each name that Gymnasium does not use, and arguments named like those of
    ``gymnasium.make``."""

    observation_space = action_space = Box(-1, 1, (2,), np.float32)

    def __init__(
        self, max_episode_steps: int = 0, id: str = "", disable_env_checker: str = ""
    ) -> None:
        self.arguments = (max_episode_steps, id, disable_env_checker)
        for name in NAMES:
            if name not in ("close", "spec"):
                setattr(self, name, "mine")

    def reset(self, **options: Any) -> Any:
        super().reset(seed=options["seed"])
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> Any:
        assert self._observation == self.environment == "mine"  # type: ignore[attr-defined]
        return np.zeros(2, np.float32), 0.0, False, False, {}


@pytest.fixture
def adapted(tmp_path: Path) -> str:
    file = tmp_path / "adapted.py"
    file.write_text("from tests.tasks.test_own_names import Adapted as Base\nclass A(Base): pass\n")
    return f"{file}:A"


def test_environments_may_use_them_too(adapted: str) -> None:
    world = World(id=adapted, max_episode_steps=5)
    tasks.permit(world, adapted)
    task = tasks.make(world, 2)
    run(task)
    assert tasks.fingerprint(task, world) == ""


def test_nor_do_they_have_a_time_limit_by_it(adapted: str) -> None:
    tasks.permit(World(id=adapted), adapted)
    with pytest.raises(UsageError, match="no time limit of its own"):
        tasks.make(World(id=adapted), 1)


def test_arguments_may_be_named_like_those_of_gymnasium(adapted: str) -> None:
    kwargs = {"max_episode_steps": 7, "id": "x", "disable_env_checker": "y"}
    world = World(id=adapted, max_episode_steps=5, kwargs=kwargs)
    tasks.permit(world, adapted)
    task: Any = tasks.make(world, 1)
    assert task.max_episode_steps == 5
    assert task.environment.arguments == (7, "x", "y")


XML = """<mujoco><option>{flag}</option><worldbody><body><joint name="a" type="hinge"/>
<geom size=".1"/></body></worldbody>
<actuator><motor joint="a" ctrlrange="-1 1"/></actuator></mujoco>"""


class OnMujoco(MujocoTask):
    """Uses names that look free in a subclass of ``MujocoTask``."""

    def __init__(self, num_simulations: int, *, max_episode_steps: int = 5, flag: str = "") -> None:
        self.forces = "sleep" in flag and "now" in flag
        super().__init__(
            num_simulations,
            xml_file=XML.format(flag=flag.replace("now", "")),
            frame_skip=1,
            max_episode_steps=max_episode_steps,
            external_forces=self.forces,
        )
        for name in ("elapsed", "sizes", "parts", "columns", "unstable", "scratch", "randomizer"):
            setattr(self, f"_{name}", "mine")

    def reward(self, action: Any) -> Any:
        assert self._elapsed == "mine"  # type: ignore[attr-defined]
        return np.zeros(self.num_simulations)


def test_a_mujoco_task_may_use_short_private_names() -> None:
    check(lambda n, limit: OnMujoco(n, max_episode_steps=limit), "own")


def test_sleep_is_refused_in_words_that_help() -> None:
    flag = '<flag sleep="enable"/>'
    with pytest.raises(UsageError, match=r"enables sleep .*remove the flag.*external_forces=True"):
        OnMujoco(1, flag=flag)


def test_and_works_as_they_say() -> None:
    flag = '<flag sleep="enable"/>now'
    check(lambda n, limit: OnMujoco(n, max_episode_steps=limit, flag=flag), "own")
