"""The adaptive energy cost against the published one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.testing import assert_allclose

from poolrl.algorithms.energy_cost import EnergyState, adapted, batch_effort

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
    cost = weight * batch_effort(observation, 4)
    assert_allclose(rewards - cost, PUBLISHED["energy/relabelled"], rtol=1e-6)
