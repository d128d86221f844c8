"""The map of latent variables: principal components, and what it looks like."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolrl.errors import UsageError
from poolrl.report.figures import latent_map


@given(st.integers(0, 1000), st.integers(3, 8))
def test_components_have_the_most_variance(seed: int, size: int) -> None:
    """Against the singular values of the data; and of no other plane is there more."""
    rng = np.random.default_rng(seed)
    latents = (
        rng.normal(size=(50, size)) * rng.uniform(0.1, 3, size) @ rng.normal(size=(size, size))
    )
    plane = latent_map.plane_of(latents + 5.0)
    singular = np.linalg.svd(latents - latents.mean(axis=0), compute_uv=False)
    shares = np.square(singular) / np.square(singular).sum()
    assert plane.shares == pytest.approx(shares[:2])
    assert plane.points.mean(axis=0) == pytest.approx([0, 0], abs=1e-9)
    covariance = np.cov(plane.points.T, bias=True)
    total = np.var(latents, axis=0).sum()
    assert covariance == pytest.approx(total * np.diag(shares[:2]), abs=1e-9 * total)
    other, _ = np.linalg.qr(rng.normal(size=(size, 2)))
    assert np.var(latents @ other, axis=0).sum() <= np.var(plane.points, axis=0).sum() * (1 + 1e-9)


def test_two_variables_are_drawn_as_they_are() -> None:
    latents = np.random.default_rng(0).normal(size=(40, 2)) * [3.0, 1.0]
    plane = latent_map.plane_of(latents)
    assert np.array_equal(plane.points, latents)
    assert sum(plane.shares) == pytest.approx(1)
    figure = latent_map.draw(["Walk", "Rear"], plane, np.repeat([0, 1], 20))
    (axis,) = figure.axes
    assert (
        axis.get_xlabel()
        == f"first latent variable ({100 * plane.shares[0]:.0f} % of the variance)"
    )
    rear, walk = axis.collections
    assert (rear.get_label(), walk.get_label()) == ("Rear", "Walk")
    for drawn, rows in ((walk, slice(20)), (rear, slice(20, 40))):
        found = np.array(sorted(map(tuple, drawn.get_offsets())))
        assert np.array_equal(found, np.array(sorted(map(tuple, latents[rows]))))


@pytest.mark.parametrize(
    ("latents", "message"),
    [(np.ones((5, 3)), "are the same in all steps"), (np.zeros((5, 1)), "and there is one")],
)
def test_what_is_no_map_is_one_line(latents: np.ndarray, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        latent_map.plane_of(latents)
