"""One contract for every network: what learners, rollouts and agents rely on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from poolrl.agent import Agent
from poolrl.algorithms import ppo
from poolrl.algorithms.train_state import TrainState
from poolrl.config.learners import PPO
from poolrl.networks.base import Sequences, State
from poolrl.networks.parameters import is_parameter
from tests.helpers.networks import (
    SPECS,
    agent,
    case,
    random_like,
    rollout,
    updated,
)


# The corners of relu are no finite differences; tests/algorithms compare its updates with torch's.
@pytest.mark.parametrize("name", [name for name in SPECS if "relu" not in name])
@pytest.mark.parametrize("which", ["both", "parameters", "value"])
def test_derivatives_are_finite_differences(name: str, which: str) -> None:
    network, arrays, gradient, inputs = case(name)
    output = network.forward(inputs)
    by_parameters, by_value, *others = random_like(
        output.parameters, output.value, *output.penalties.values()
    )
    by_penalties = {} if which == "value" else dict(zip(output.penalties, others, strict=True))
    given = {
        "by_parameters": None if which == "value" else by_parameters,
        "by_value": None if which == "parameters" else by_value,
    }
    network.backward(**given, by_penalties=by_penalties)

    def loss() -> float:
        new = network.forward(inputs)
        parts = [*zip((new.parameters, new.value), given.values(), strict=True)]
        parts += [(new.penalties[name], by) for name, by in by_penalties.items()]
        return sum(float((a.astype(np.float64) * b).sum()) for a, b in parts if b is not None)

    rng = np.random.default_rng(2)
    for key, array in arrays.items():
        derivative, old = gradient[key].copy(), array.copy()
        direction = rng.choice([-1.0, 1.0], array.shape)
        width = 1e-3
        array[...] = old + width * direction
        above = loss()
        array[...] = old - width * direction
        below = loss()
        array[...] = old
        expected = float((derivative * direction).sum())
        assert (above - below) / (2 * width) == pytest.approx(expected, rel=0.02, abs=0.02), key


@pytest.mark.parametrize("name", SPECS)
def test_two_backward_passes_are_one(name: str) -> None:
    """The policy's loss and the value's after one forward pass add up to both at once."""
    network, _, gradient, inputs = case(name)
    output = network.forward(inputs)
    by_parameters, by_value = random_like(output.parameters, output.value)
    network.backward(by_parameters=by_parameters)
    apart = {key: array.copy() for key, array in gradient.items()}
    network.backward(by_value=by_value)
    network.forward(inputs)
    for key, array in gradient.items():
        apart[key] += array
    network.backward(by_parameters, by_value)
    for key, array in gradient.items():
        assert array == pytest.approx(apart[key], abs=1e-4), key


@pytest.mark.parametrize("name", SPECS)
def test_a_sequence_is_its_steps(name: str) -> None:
    network, _, _, inputs = case(name)
    whole = network.forward(inputs)
    sequences = inputs.sequences
    if sequences is None:
        sequences = Sequences(np.array([len(inputs.observation)]), ())
    start = 0
    for number, length in enumerate(sequences.lengths.tolist()):
        state: State = tuple(part[number : number + 1] for part in sequences.state)
        for row in range(start, start + length):
            one = inputs.observation[row : row + 1]
            noise = None if inputs.noise is None else inputs.noise[row : row + 1]
            parameters, _ = network.act(one, state, noise)
            value = network.values(one, state)
            output, state = network.step(one, state, noise)
            for got in (parameters, output.parameters):
                assert got[0] == pytest.approx(whole.parameters[row], abs=1e-6)
            for got in (value, output.value):
                assert got[0] == pytest.approx(whole.value[row], abs=1e-6)
        start += length


@pytest.mark.parametrize("name", SPECS)
def test_the_memory_is_what_acting_carries(name: str) -> None:
    """``act`` carries the actor's part on as ``step`` does, and writes into no state."""
    network, _, _, inputs = case(name)
    if inputs.sequences is None:
        assert network.initial_state(3) == ()
        return
    state = inputs.sequences.state
    before = [part.copy() for part in state]
    observation = inputs.observation[: len(state[0])]
    noise = None if inputs.noise is None else inputs.noise[: len(state[0])]
    own, whole = (
        network.act(observation, state, noise)[1],
        network.step(observation, state, noise)[1],
    )
    assert len(own) == len(whole) == len(state)
    actor = slice(0, 1) if own[0].ndim == 3 else slice(None)  # of the trunks, if there are several
    assert own[0][:, actor] == pytest.approx(whole[0][:, actor], abs=1e-6)
    assert all(np.array_equal(a, b) for a, b in zip(before, state, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(whole, state, strict=True))


@pytest.mark.parametrize("name", SPECS)
def test_the_first_ratio_is_one(name: str) -> None:
    """The update sees the memory and the noise that acting had, over ends of episodes."""
    state = TrainState(agent(name))
    data = rollout(state)
    ratios: list[np.ndarray] = []
    distribution = state.policy.distribution
    original: Callable[..., Any] = distribution.log_prob_gradient

    def recorded(parameters: np.ndarray, sample: np.ndarray) -> Any:
        result = original(parameters, sample)
        ratios.append(np.sort(result.value))
        return result

    distribution.log_prob_gradient = recorded  # type: ignore[method-assign]
    penalties = dict.fromkeys(state.policy.network.penalty_names, 0.1)
    hp = PPO(epochs=1, minibatch_size=1000, sequence_steps=5, penalties=penalties)
    ppo.update(state, data, hp, np.random.default_rng(0))
    assert np.exp(ratios[0] - np.sort(data.log_prob.ravel())) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("name", SPECS)
def test_parameters_stay_views_of_one_vector(name: str) -> None:
    state = TrainState(agent(name))
    data = rollout(state)
    before = state.policy.network.forward(inputs := case(name).inputs).parameters.copy()
    updated(state, data, 3)
    # What the optimiser changes is what the network computes with.
    assert not np.allclose(state.policy.network.forward(inputs).parameters, before, atol=1e-3)
    assert all(
        np.shares_memory(array, state.vector)
        for key, array in state.arrays.items()
        if is_parameter(key)
    )


@pytest.mark.parametrize("name", SPECS)
def test_a_file_is_the_agent(name: str) -> None:
    """To the byte, and the next update after it, twice."""
    straight = TrainState(agent(name))
    data = rollout(straight)
    middle = updated(straight, data, 2)
    again = Agent.from_bytes(middle.to_bytes())
    assert again.to_bytes() == middle.to_bytes()
    # Nothing that a network keeps of its parameters outlives a change of them.
    actions = [
        policy.act(data.observation[0], generator=np.random.default_rng(0)).action
        for policy in (straight.policy, again.policy)
    ]
    assert np.array_equal(*actions)
    ends = [updated(TrainState(each), data, 2).to_bytes() for each in (middle, again, again)]
    assert ends[0] == ends[1] == ends[2] != middle.to_bytes()
