"""Noise: spectra and moments, and what it depends on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from poolrl.config.exploration import (
    NoiseSpec,
    OrnsteinUhlenbeckSpec,
    PinkSpec,
    UniformSpec,
    WhiteSpec,
)
from poolrl.exploration.noise import (
    ColoredNoise,
    Noise,
    OrnsteinUhlenbeckNoise,
    UniformNoise,
    WhiteNoise,
    make_noise,
)
from poolrl.seeding import Purpose, Streams

KINDS: dict[str, NoiseSpec] = {
    "white": WhiteSpec(),
    "uniform": UniformSpec(),
    "pink": PinkSpec(),
    "ou": OrnsteinUhlenbeckSpec(),
}

every_kind = pytest.mark.parametrize("name", KINDS)


def of_episodes(noise: Noise, episodes: list[int], steps: int) -> NDArray[np.float64]:
    """(steps, simulations, size): each simulation's episode by its number."""
    generators = [Streams(3).generator(Purpose.EXPLORE, number) for number in episodes]
    noise.reset(np.arange(len(episodes)), generators)
    return np.array([noise.step() for _ in range(steps)])


@every_kind
def test_an_episode_has_its_own(name: str) -> None:
    """To the bit, whatever runs beside it, and whenever."""
    steps = 300
    together = of_episodes(make_noise(KINDS[name], 4, 3, steps), [5, 6, 7, 8], steps)
    for row, number in enumerate((5, 6, 7, 8)):
        alone = of_episodes(make_noise(KINDS[name], 1, 3, steps), [number], steps)
        np.testing.assert_array_equal(together[:, row], alone[:, 0])
    assert not np.array_equal(together[:, 0], together[:, 1])
    assert not np.array_equal(together[:, 0, 0], together[:, 0, 1])
    late = make_noise(KINDS[name], 2, 3, steps)
    of_episodes(late, [1, 2], 37)
    late.reset(np.array([1]), [Streams(3).generator(Purpose.EXPLORE, 6)])
    waited = [late.step(np.array([0])) for _ in range(5)]
    assert not np.any([each[1] for each in waited])
    restarted = np.array([late.step()[1] for _ in range(100)])
    np.testing.assert_array_equal(restarted, together[:100, 1])


@pytest.mark.parametrize("make", [WhiteNoise, UniformNoise, OrnsteinUhlenbeckNoise])
def test_steps_drawn_at_a_time_do_not_matter(make: Callable[..., Noise]) -> None:
    found = [of_episodes(make(2, 3, block=block), [0, 1], 100) for block in (1, 7, 128)]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


@pytest.mark.parametrize(
    ("spec", "std"),
    [
        (WhiteSpec(0.3), 0.3),
        (UniformSpec(0.6), 0.6 / np.sqrt(3)),
        (PinkSpec(0.3), 0.3),
        (PinkSpec(0.3, beta=0.0), 0.3),
    ],
)
def test_standard_deviation(spec: NoiseSpec, std: float) -> None:
    values = of_episodes(make_noise(spec, 50, 10, 1000), list(range(50)), 1000)
    assert np.sqrt(np.square(values).mean()) == pytest.approx(std, rel=0.04)
    assert np.abs(values.mean()) < 0.03


@pytest.mark.parametrize("beta", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("steps", [999, 1000])
def test_spectrum(beta: float, steps: int) -> None:
    values = of_episodes(ColoredNoise(30, 10, steps, beta=beta), list(range(30)), steps)
    power = np.square(np.abs(np.fft.rfft(values, axis=0))).mean(axis=(1, 2))
    frequency = np.fft.rfftfreq(steps)
    inner = slice(5, -5)
    slope, _ = np.polyfit(np.log(frequency[inner]), np.log(power[inner]), 1)
    assert slope == pytest.approx(-beta, abs=0.05)


def test_long_episodes_have_several_sequences() -> None:
    noise = ColoredNoise(1, 2, 50, scale=1.0)
    values = of_episodes(noise, [0], 120)[:, 0]
    assert not np.array_equal(values[:50], values[50:100])
    assert values[50:100].std() > 0.3


def test_ornstein_uhlenbeck() -> None:
    """The published loop, with the same draws."""
    spec = OrnsteinUhlenbeckSpec(0.2, theta=0.5, dt=0.05, clip=1.5)
    found = of_episodes(make_noise(spec, 1, 3, 200), [4], 200)[:, 0]
    draws = Streams(3).generator(Purpose.EXPLORE, 4).standard_normal((200, 3))
    x = np.zeros(3)
    for t in range(200):
        x -= 0.5 * x * 0.05
        x += 0.2 * np.sqrt(0.05) * np.clip(draws[t], -1.5, 1.5)
        np.testing.assert_allclose(found[t], x, atol=1e-12)
    assert np.abs(draws).max() > 1.5
