"""The perceptrons in NumPy and the same ones in torch learn alike."""

from __future__ import annotations

import numpy as np
import pytest

from poolrl.algorithms import ppo
from poolrl.algorithms.train_state import TrainState
from poolrl.config.learners import PPO
from poolrl.config.networks import MLPSpec
from tests.helpers import networks


def test_a_hundred_gradient_steps_are_the_same() -> None:
    """On the same recorded batches, from the same parameters."""
    networks.SPECS["perceptron"] = networks.user_network("Perceptron")
    numpy_spec = MLPSpec(actor=(16, 8), critic=(16, 8), distribution="gaussian")
    networks.SPECS["the same in NumPy"] = numpy_spec
    ours, theirs = (
        TrainState(networks.agent(name)) for name in ("the same in NumPy", "perceptron")
    )
    assert ours.arrays.keys() == theirs.arrays.keys()
    for name, array in ours.arrays.items():
        theirs.arrays[name][...] = array
    start = ours.vector.copy()
    data = networks.rollout(ours, steps=32)
    hp = PPO(epochs=10, minibatch_size=13, learning_rate=1e-4, entropy_coefficient=0.01)
    for state in (ours, theirs):
        ppo.update(state, data, hp, np.random.default_rng(0))
    assert ours.optimizer.steps == theirs.optimizer.steps == 100
    for name, array in ours.arrays.items():
        assert theirs.arrays[name] == pytest.approx(array, abs=1e-6), name
    assert np.abs(ours.vector - start).max() > 3e-3
