"""Random streams."""

from __future__ import annotations

import itertools

from poolrl.seeding import Purpose, Streams


def test_numbers_of_purposes_are_part_of_the_format() -> None:
    assert {p.name: int(p) for p in Purpose} == {
        "INITIALISE": 0,
        "RESET": 1,
        "ACTION": 2,
        "SHUFFLE": 3,
        "EVALUATE_RESET": 4,
        "EVALUATE_ACTION": 5,
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


def test_generators_are_those_of_their_episodes() -> None:
    streams = Streams(1, (1, 0, 0))
    many = [g.random() for g in streams.generators(Purpose.RESET, 2, 3)]
    assert many == [streams.generator(Purpose.RESET, episode).random() for episode in (2, 3, 4)]
