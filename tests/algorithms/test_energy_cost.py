"""The adaptive energy cost against the published one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from poolrl.algorithms.energy_cost import EnergyState, activity_columns, adapted, batch_effort
from poolrl.errors import UsageError

PUBLISHED = np.load(Path(__file__).parent / "published_mpo" / "mpo.npz")


def test_the_weight_follows_scores_as_published() -> None:
    state, held = EnergyState(), []
    for score in PUBLISHED["energy/scores"]:
        state = adapted(state, score, 1000.0)
        held.append(state)
    assert_allclose(held, PUBLISHED["energy/held"], rtol=1e-12)
    assert max(each.weight for each in held) > 0


def test_the_cost_of_a_batch_is_published() -> None:
    observation, rewards = (PUBLISHED[f"energy/{n}"] for n in ("next_observations", "rewards"))
    weight = PUBLISHED["energy/held"][-1, 0]
    columns = activity_columns(4, {}, observation.shape[1])
    cost = weight * batch_effort(observation, columns)
    assert_allclose(rewards - cost, PUBLISHED["energy/relabelled"], rtol=1e-6)


def test_activities_are_what_the_task_names_so_or_the_last_values() -> None:
    senses = {"activity": np.array([False, True, True, False])}
    observation = np.array([[9, 1, 2, 9], [9, 3, 0, 9]], np.float32)
    assert batch_effort(observation, activity_columns(2, senses, 4)) == 1 + 8 + 27
    assert activity_columns(2, {"joints": senses["activity"]}, 4).tolist() == [2, 3]
    assert activity_columns(0, senses, 4).tolist() == []
    with pytest.raises(UsageError, match=r"learner\.muscles: 1, but the task has 2 muscles"):
        activity_columns(1, senses, 4)
