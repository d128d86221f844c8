"""Bodies of myo-sim: models, determinism, random actions, and pools."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

from poolrl import extras, tasks
from poolrl.algorithms.training import initial_agent
from poolrl.config.loading import load
from poolrl.config.run_options import RunOptions
from poolrl.errors import UsageError
from poolrl.parallel import use_threads
from poolrl.pool.directory import make_pool
from poolrl.seeding import Streams
from poolrl.tasks.muscles import models
from tests.conftest import tiny_spec
from tests.helpers.command_line import in_process
from tests.helpers.muscles import BODIES, actions, needs_bodies, started
from tests.helpers.workers import work


@needs_bodies
@pytest.mark.parametrize("task_id", BODIES)
def test_bits_do_not_depend_on_threads_and_neighbours(task_id: str) -> None:
    runs = []
    for threads, n in ((1, 4), (2, 4), (4, 4), (1, 1)):
        with use_threads(threads):
            task = tasks.make(task_id, n)
        task.reset(np.arange(n), [np.random.default_rng([2, i]) for i in range(n)])
        random = np.random.default_rng(3)
        results = []
        for k in range(8):
            given = random.uniform(0, 1, (4, *task.action_space.shape)).astype(np.float32)[:n]
            result = task.step(given, np.array([0, *([2] * (n > 1))]) if k == 4 else None)
            results.append((result.observation[0], result.reward[0]))
        runs.append(results)
    for other in runs[1:]:
        for (a, r), (b, s) in zip(runs[0], other, strict=True):
            assert np.array_equal(a, b)
            assert r == s


STEPS = {BODIES[0]: 500, BODIES[1]: 500, BODIES[2]: 40, BODIES[3]: 60, BODIES[4]: 150}
"""Control steps of each of eight simulations."""


@needs_bodies
@pytest.mark.parametrize("task_id", BODIES)
def test_random_actions_keep_observations_finite(task_id: str) -> None:
    act_at_random(task_id, STEPS[task_id])


@needs_bodies
@pytest.mark.full
@pytest.mark.parametrize("task_id", BODIES)
def test_thousands_of_random_actions_do(task_id: str) -> None:
    act_at_random(task_id, 3000)


def act_at_random(task_id: str, steps: int) -> None:
    """Actions that also switch fully on and off, with checks of what they lead to."""
    task = started(task_id, 8)
    episodes = 0
    for k in range(steps):
        given = actions(task, k)
        result = task.step(np.where(k // 20 % 2, np.round(given), given))
        assert np.isfinite(result.observation).all()
        assert np.isfinite(result.reward).all()
        over = result.terminated | result.truncated
        if over.any():
            ids = np.flatnonzero(over)
            task.reset(ids, [np.random.default_rng([episodes, i]) for i in ids])
            episodes += len(ids)
    assert not task.diverged().any()


@needs_bodies
@pytest.mark.parametrize(
    ("body", "skip"),
    [
        ("myoelbow", 10),
        pytest.param("myoarm_r", 3, marks=pytest.mark.full),
        pytest.param("myolegs", 5, marks=pytest.mark.full),
    ],
)
def test_sites_that_are_left_out_have_no_effect(body: str, skip: int) -> None:
    whole, own = (models.load_body(body, whole=whole) for whole in (True, False))
    assert own.nsite < whole.nsite
    one, other = mujoco.MjData(whole), mujoco.MjData(own)
    random = np.random.default_rng(0)
    for _ in range(20):
        one.ctrl[:] = other.ctrl[:] = random.uniform(0, 1, own.nu)
        mujoco.mj_step(whole, one, skip)
        mujoco.mj_step(own, other, skip)
    assert np.array_equal(one.qpos, other.qpos)
    assert np.array_equal(one.actuator_force, other.actuator_force)


@needs_bodies
@pytest.mark.parametrize("task_id", BODIES)
@pytest.mark.parametrize("variant", [{}, {"mask_velocities": True}, {"kwargs": {"fatigue": True}}])
def test_observed_activities_have_a_name(task_id: str, variant: dict[str, Any]) -> None:
    task = tasks.make(task_id, 2, **variant)
    task.reset(np.arange(2), [np.random.default_rng(i) for i in range(2)])
    observation = task.step(actions(task, 0)).observation
    state = task.actuator_state()
    assert state is not None
    assert state.activity.all()
    assert np.array_equal(observation[:, task.senses()["activity"]], state.activity)


@needs_bodies
def test_the_energy_cost_is_of_all_muscles() -> None:
    keys = {"task.id": "MuscleElbowReach-v0", "learner.name": "mpo", "learner.muscles": 5}
    spec, _ = load(None, keys)
    with pytest.raises(UsageError, match=r"learner\.muscles: 5, but the task has 6 muscles"):
        initial_agent(spec, tasks.make(spec.task, 1), Streams(0))
    spec, _ = load(None, keys | {"learner.muscles": 6})
    initial_agent(spec, tasks.make(spec.task, 1), Streams(0))


@needs_bodies
def test_an_unstable_simulation_is_reported() -> None:
    task = started("MuscleElbowReach-v0", 2)
    task.qpos[1, 0] = np.nan
    task.step(np.zeros((2, 6)))
    assert task.diverged().tolist() == [False, True]


@needs_bodies
@pytest.mark.parametrize("body", ["myoelbow", "myoarm_r", "myolegs"])
def test_a_models_hash_does_not_depend_on_where_the_package_is(body: str) -> None:
    paths = models.load_body(body).paths.split(b"\0")[:-1]
    assert len(paths) > 30
    assert all(path.startswith(b"myo_sim/models/") for path in paths)


@pytest.mark.parametrize("task_id", BODIES)
def test_a_body_without_its_package_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task_id: str
) -> None:
    models.load_body.cache_clear()
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    said = in_process("run", "--task", task_id, "--pool-directory", "pool", cwd=tmp_path)
    assert (said.returncode, said.stdout) == (2, "")
    assert "pip install 'poolrl[muscles]'" in said.stderr
    assert said.stderr.count("\n") == 1
    assert not (tmp_path / "pool").exists()
    listed = in_process("tasks", cwd=tmp_path).stdout
    row = next(line for line in listed.splitlines() if line.startswith(task_id))
    assert row.endswith("native, not installed: pip install 'poolrl[muscles]'")


@needs_bodies
def test_a_pool_on_the_elbow_resumes_with_the_same_champions(tmp_path: Path) -> None:
    spec = tiny_spec(
        task__id="MuscleElbowReach-v0",
        task__kwargs={"excitation": "sigmoid", "fatigue": True, "noise": [0.1, 0.0]},
        task__max_episode_steps=10,
    )

    def champions(name: str, *iterations: int) -> list[str]:
        pool = make_pool(tmp_path / name, spec, RunOptions(iterations=2))
        for count in iterations:
            history = work(pool, count)
        assert all(unit.status == "done" for unit in history.units)
        return [merge.champion.sha256 for merge in history.merges]

    whole = champions("whole", 2)
    assert len(set(whole)) > 1
    assert champions("parts", 1, 2) == whole
