"""Threads that step a batch: the same bits at any number, in training and in evaluation."""

from __future__ import annotations

import numpy as np
import pytest

from poolrl import tasks
from poolrl.config.loading import load
from poolrl.parallel import thread_count, use_threads
from poolrl.records.evaluation import Evaluation
from poolrl.records.work_units import Unit
from poolrl.rollouts.rollout_file import to_bytes
from poolrl.tasks.mujoco.base import MujocoTask
from poolrl.worker.unit_computation import UnitComputation

KEYS = {
    "task.max_simulations": 8,
    "pool.iterate_steps": 512,
    "pool.evaluate_episodes": 6,
    "task.max_episode_steps": 60,
    "learner.segment_steps": 32,
}


def computed(
    task_id: str, threads: int, microbatch_size: int = 0
) -> tuple[bytes, Evaluation | None]:
    keys = {"task.id": task_id, "learner.microbatch_size": microbatch_size}
    spec, _ = load(None, KEYS | keys)
    computation = UnitComputation(spec, threads=threads)
    try:
        task = computation.make_task(8)
        assert isinstance(task, MujocoTask)
        assert task.batch.nthread == threads
        result = computation.compute(Unit(1, "branch", 0), None)
    finally:
        computation.close()
    assert result.agent is not None
    return result.agent.to_bytes(), result.evaluation


@pytest.mark.parametrize("task_id", ["Hopper-v5", "Ant-v5", "Quadruped-v0"])
def test_a_branch_has_the_same_bits_with_any_number_of_threads(task_id: str) -> None:
    one = computed(task_id, 1)
    for threads in (2, 4):
        assert computed(task_id, threads) == one


def test_an_update_in_microbatches_has_the_same_bits_with_any_number_of_threads() -> None:
    one = computed("HalfCheetah-v5", 1, 24)
    for threads in (2, 3, 8):
        assert computed("HalfCheetah-v5", threads, 24) == one
    assert computed("HalfCheetah-v5", 1) != one


def played(threads: int) -> bytes:
    keys = {"task.id": "Ant-v5", "merge.rule": "update", "selection.keep_parent": False}
    computation = UnitComputation(load(None, KEYS | keys)[0], threads=threads)
    try:
        result = computation.compute(Unit(1, "branch", 0), None)
    finally:
        computation.close()
    assert result.rollout is not None
    return to_bytes(result.rollout)


def test_so_has_a_rollout_for_a_shared_update() -> None:
    assert played(1) == played(2)


def test_a_batch_has_at_most_a_thread_per_simulation() -> None:
    assert thread_count(4) == 1
    with use_threads(3):
        assert [thread_count(n) for n in (1, 2, 3, 8)] == [1, 2, 3, 3]
        task = tasks.make("Swimmer-v5", 2)
        assert isinstance(task, MujocoTask)
        assert task.batch.nthread == 2
    assert thread_count(4) == 1


def test_steps_of_some_simulations_alone_are_the_same() -> None:
    states = []
    for threads in (1, 3):
        with use_threads(threads):
            task = tasks.make("Walker2d-v5", 5)
        task.reset(np.arange(5), [np.random.default_rng(i) for i in range(5)])
        action = np.full((5, 6), 0.3)
        for ids in (None, np.array([1, 4]), np.array([0]), None):
            states.append(task.step(action, ids).observation)
    assert all(np.array_equal(a, b) for a, b in zip(states[:4], states[4:], strict=True))
