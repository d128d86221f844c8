"""Networks in microbatches: outputs and derivatives of the whole, whatever the threads."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolrl.config.loading import load
from poolrl.config.networks import MLPSpec
from poolrl.errors import UsageError
from poolrl.networks.base import Inputs, Sequences
from poolrl.networks.factory import make_network
from poolrl.networks.microbatches import parts_of, parts_of_sequences
from poolrl.networks.parameters import expected_shapes
from poolrl.parallel import use_threads
from tests.helpers import networks
from tests.helpers.networks import ACTIONS, SIZE

SPEC = MLPSpec(actor=(8, 6), critic=(7,), distribution="gaussian", activation="elu")


@given(rows=st.integers(1, 500), size=st.integers(1, 600))
def test_parts_cover_all_rows_in_order(rows: int, size: int) -> None:
    parts = parts_of(rows, size)
    assert np.concatenate([np.arange(rows)[part] for part in parts]).tolist() == list(range(rows))
    lengths = [part.stop - part.start for part in parts]
    assert max(lengths) <= size
    assert max(lengths) - min(lengths) <= 1


def test_no_size_is_one_part() -> None:
    assert parts_of(9, 0) == [slice(0, 9)]


@pytest.mark.parametrize("which", ["both", "parameters", "value"])
@pytest.mark.parametrize("rows", [1, 10, 11, 64])
def test_derivatives_are_those_of_the_whole(which: str, rows: int) -> None:
    rng = np.random.default_rng(0)
    shapes = expected_shapes(SPEC, SIZE, ACTIONS, normalized_values=False)
    arrays = {
        name: rng.normal(0, 0.5, shape).astype(np.float32)
        for name, shape in shapes.items()
        if name.startswith(("actor", "critic"))
    }
    results = []
    for size, threads in ((0, 1), (10, 1), (10, 2), (10, 5)):
        gradient = {name: np.full_like(array, np.nan) for name, array in arrays.items()}
        network = make_network(arrays, SPEC, SIZE, 3, gradient, size)
        generator = np.random.default_rng(1)
        with use_threads(threads):
            # A larger batch before: what is left of it does not count.
            for n in (70, rows):
                observation = generator.normal(size=(n, SIZE)).astype(np.float32)
                output = network.forward(Inputs(observation))
                by_parameters, by_value = (
                    generator.normal(size=array.shape).astype(np.float32)
                    for array in (output.parameters, output.value)
                )
                network.backward(
                    None if which == "value" else by_parameters,
                    None if which == "parameters" else by_value,
                )
            values = network.values(observation, ())
            acted = network.act(observation, ())[0]
        np.testing.assert_allclose(acted, output.parameters, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(values, output.value, rtol=1e-5, atol=1e-6)
        results.append([output.parameters, output.value, *gradient.values()])
    whole, one, *threaded = results
    for ours, theirs in zip(one, whole, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    for other in threaded:
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=60), size=st.integers(1, 100))
def test_parts_cover_all_sequences_in_order(lengths: list[int], size: int) -> None:
    parts = parts_of_sequences(np.array(lengths), size)
    assert [index for part in parts for index in range(len(lengths))[part]] == [
        *range(len(lengths))
    ]
    assert len(parts) <= -(-sum(lengths) // size)
    for part in parts:
        own = lengths[part]
        assert own
        assert sum(own) - own[-1] < size + max(lengths)


@pytest.mark.parametrize("which", ["both", "parameters", "value"])
@pytest.mark.parametrize("name", networks.ENCODED)
def test_sequences_in_parts_are_the_whole(name: str, which: str) -> None:
    made = networks.case(name)
    spec, rng = networks.agent(name).metadata.network, np.random.default_rng(1)
    lengths = np.array([4, 4, 1, 4, 4, 2])
    whole, *others = [
        (
            make_network(made.arrays, spec, SIZE, 6, gradient, size),
            gradient,
            threads,
        )
        for size, threads in ((0, 1), (5, 1), (5, 3))
        for gradient in [{key: np.full_like(a, np.nan) for key, a in made.arrays.items()}]
    ]
    state = whole[0].initial_state(6)
    state = tuple(rng.normal(0, 0.5, part.shape).astype(np.float32) for part in state)
    inputs = Inputs(
        rng.normal(size=(19, SIZE)).astype(np.float32),
        rng.normal(size=(19, whole[0].noise_size)).astype(np.float32),
        Sequences(lengths, state) if state else None,
    )
    results = []
    for network, gradient, threads in (whole, *others):
        with use_threads(threads):
            output = network.forward(inputs)
            by_parameters, by_value, *by = networks.random_like(
                output.parameters, output.value, *output.penalties.values()
            )
            network.backward(
                None if which == "value" else by_parameters,
                None if which == "parameters" else by_value,
                {} if which == "value" else dict(zip(output.penalties, by, strict=True)),
            )
            rows = 6 if state else 19
            assert inputs.noise is not None
            stepped, after = network.step(inputs.observation[:rows], state, inputs.noise[:rows])
            acted, _ = network.act(inputs.observation[:rows], state, inputs.noise[:rows])
            assert network.values(inputs.observation[:rows], state) == pytest.approx(stepped.value)
            assert np.array_equal(acted, stepped.parameters)
        arrays = [output.parameters, output.value, *output.penalties.values()]
        results.append([*arrays, stepped.parameters, *after, *gradient.values()])
    for ours, theirs in zip(results[1], results[0], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    for ours, theirs in zip(results[1], results[2], strict=True):
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize(
    "network", [{"network.name": "recurrent"}, {"network.shared": True}], ids=["memory", "trunk"]
)
def test_other_networks_are_refused(network: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=r"learner\.microbatch_size: only for perceptrons"):
        load(None, {"learner.microbatch_size": 64} | network)
