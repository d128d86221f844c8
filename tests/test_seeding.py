"""Random streams."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolrl.seeding import Purpose, Streams


def test_numbers_of_purposes_are_part_of_the_format() -> None:
    assert {p.name: int(p) for p in Purpose} == {
        "INITIALISE": 0,
        "RESET": 1,
        "ACTION": 2,
        "SHUFFLE": 3,
        "EVALUATE_RESET": 4,
        "EVALUATE_ACTION": 5,
        "EVOLVE": 6,
        "EXPLORE": 7,
    }


def test_streams_stay_what_they_were() -> None:
    # A change here would make every old pool unable to resume byte for byte.
    draw = Streams(7, (3, 0, 2)).generator(Purpose.RESET, 5).integers(2**32)
    assert draw == 479787079


def test_no_two_streams_are_alike() -> None:
    draws = [
        Streams(seed, key).generator(purpose, episode).integers(2**63)
        for seed in (0, 1)
        for key in itertools.product((0, 1), (0, 1), (0, 1))
        for purpose in Purpose
        for episode in (0, 1)
    ]
    assert len(set(draws)) == len(draws)


def same(one: np.random.Generator, other: np.random.Generator) -> bool:
    return bool(one.bit_generator.state == other.bit_generator.state)


@given(
    seed=st.integers(0, 2**200),
    key=st.tuples(*[st.integers(0, 2**70)] * 3),
    start=st.integers(0, 2**32 - 3),
)
@pytest.mark.filterwarnings("error")
def test_generators_are_those_of_their_episodes(
    seed: int, key: tuple[int, int, int], start: int
) -> None:
    streams = Streams(seed, key)
    for i, generator in enumerate(streams.generators(Purpose.RESET, start, 3)):
        assert same(generator, streams.generator(Purpose.RESET, start + i))


def test_generators_continue_without_end() -> None:
    streams = Streams(1, (1, 0, 0))
    for i, generator in zip(range(200), streams.generators_from(Purpose.RESET, 5), strict=False):
        assert same(generator, streams.generator(Purpose.RESET, 5 + i))


def test_generators_have_the_children_of_their_episodes() -> None:
    streams = Streams(3)
    (one,) = streams.generators(Purpose.RESET, 7, 1)
    other = streams.generator(Purpose.RESET, 7)
    for _ in range(2):
        for child, expected in zip(one.spawn(2), other.spawn(2), strict=True):
            assert same(child, expected)
