"""A map of latent variables by behaviour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from poolrl.errors import UsageError
from poolrl.report.figures import style
from poolrl.report.figures.body_errors import rows_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

F64 = NDArray[np.float64]

MOST_POINTS = 20_000
"""Steps that are drawn; of more a random part."""


class Plane(NamedTuple):
    """Points in two dimensions.

    Attributes:
        points: (n, 2).
        shares: of the variance of all latent variables, along each.
        names: of the dimensions.
    """

    points: F64
    shares: tuple[float, float]
    names: tuple[str, str]


def plane_of(latents: F64) -> Plane:
    """Return two latent variables as they are; of more, the first two principal components.

    A component is the eigenvector of the covariance, of which the largest entry is positive.

    Args:
        latents: (n, z).

    Raises:
        UsageError: there are fewer than two, or they do not vary.
    """
    if latents.shape[1] < 2:
        raise UsageError("a map needs two latent variables, and there is one")
    centered = latents - latents.mean(axis=0)
    covariance = centered.T @ centered / len(centered)
    total = float(np.trace(covariance))
    if total < np.finfo(np.float32).eps ** 2:
        raise UsageError("the latent variables are the same in all steps")
    if latents.shape[1] == 2:
        points, variances = latents, np.diag(covariance)
        names = "first latent variable", "second latent variable"
    else:
        vectors, variances, _ = np.linalg.svd(covariance)
        largest = np.abs(vectors).argmax(axis=0)
        vectors = vectors * np.sign(vectors[largest, np.arange(len(largest))])
        points = centered @ vectors[:, :2]
        names = "first principal component", "second principal component"
    first, second = (float(variance / total) for variance in variances[:2])
    return Plane(points, (first, second), names)


def draw(labels: Sequence[str], plane: Plane, clips: NDArray[np.intp]) -> Figure:
    """Scatter the steps of all clips, in a colour and marker for each behaviour.

    Args:
        labels: of the clips.
        plane: of the steps.
        clips: (n,): number of the clip of each step.
    """
    drawn = np.random.default_rng(0).permutation(len(clips))[:MOST_POINTS]
    figure = style.make_figure(8.5, 6)
    axis = figure.subplots()
    for number, (label, rows) in enumerate(rows_of(labels).items()):
        color, _, marker = style.look(number)
        own = plane.points[drawn[np.isin(clips[drawn], rows)]]
        axis.scatter(
            own[:, 0],
            own[:, 1],
            s=14 if marker == "*" else 7,
            c=color,
            marker=marker,
            linewidths=0.4 if marker == "x" else 0,
            alpha=0.6,
            label=style.plain(label, 30),
            rasterized=len(drawn) >= style.RASTER_FROM,
        )
    names = zip(plane.names, plane.shares, strict=True)
    first, second = (f"{name} ({100 * share:.0f} % of the variance)" for name, share in names)
    axis.set_xlabel(first)
    axis.set_ylabel(second)
    axis.set_aspect("equal", adjustable="datalim")
    axis.grid(alpha=0.3)
    axis.set_axisbelow(True)
    figure.legend(loc="outside right upper", fontsize="small", markerscale=2)
    return figure
