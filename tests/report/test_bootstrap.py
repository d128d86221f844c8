"""Means over seeds with bootstrap intervals."""

from __future__ import annotations

import numpy as np
import pytest

from poolrl.report.bootstrap import RESAMPLES, mean_band, on_common_grid, resampled_means


def test_resampled_means_are_those_of_drawn_samples() -> None:
    values = np.random.default_rng(1).normal(size=7)
    drawn = np.random.default_rng(0).choice(values, (RESAMPLES, 7)).mean(axis=1)
    assert resampled_means(values, np.random.default_rng(0)) == pytest.approx(drawn)


def test_a_band_is_an_interval_at_each_point() -> None:
    curves = np.random.default_rng(1).normal(size=(5, 3))
    band = mean_band(curves, np.random.default_rng(0))
    for point in range(3):
        alone = mean_band(curves[:, point : point + 1], np.random.default_rng(0))
        assert [each[point] for each in band] == pytest.approx([each[0] for each in alone])
    assert (band.low <= band.mean).all()
    assert (band.mean <= band.high).all()


def test_one_seed_has_no_width() -> None:
    band = mean_band(np.array([[1.0, 2.0]]), np.random.default_rng(0))
    assert band.low.tolist() == band.mean.tolist() == band.high.tolist() == [1.0, 2.0]


def test_an_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(1)
    covered = 0
    for _ in range(100):
        band = mean_band(generator.normal(0.5, 1, (10, 1)), generator)
        covered += band.low[0] <= 0.5 <= band.high[0]
    assert 83 <= covered <= 99  # percentile intervals of ten seeds are a little narrow


def test_the_common_grid_is_where_all_curves_are() -> None:
    one = np.array([0.0, 2.0, 4.0]), np.array([0.0, 2.0, 4.0])
    other = np.array([1.0, 3.0]), np.array([5.0, 7.0])
    grid, values = on_common_grid([one, other], 3)
    assert grid.tolist() == [1.0, 2.0, 3.0]
    assert values.tolist() == [[1.0, 2.0, 3.0], [5.0, 6.0, 7.0]]
