"""Special functions against SciPy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special as scipy_special

from poolrl.distributions import special_functions as special

X = np.concatenate([np.linspace(1, 4, 1000), np.geomspace(1, 1e6, 1000)]).astype(np.float32)


@pytest.mark.parametrize(
    ("ours", "exact"),
    [
        (special.log_gamma, scipy_special.gammaln),
        (special.digamma, scipy_special.psi),
        (special.trigamma, lambda x: scipy_special.polygamma(1, x)),
    ],
    ids=["log_gamma", "digamma", "trigamma"],
)
def test_to_the_precision_of_float32(ours, exact) -> None:  # type: ignore[no-untyped-def]
    got = ours(X)
    assert got.dtype == np.float32
    assert got == pytest.approx(exact(X.astype(np.float64)), rel=1e-6, abs=2e-6)


@pytest.mark.parametrize("factor", [0.3, 0.9, 0.999, 1, 1.001, 1.3, 20])
def test_the_remainder_of_log_gamma(factor: float) -> None:
    change = np.maximum(X * np.float32(factor), 1) - X
    got = special.log_gamma_remainder(X, change)
    assert got.dtype == np.float32
    x, d = X.astype(np.float64), change.astype(np.float64)
    exact = scipy_special.gammaln(x + d) - scipy_special.gammaln(x) - d * scipy_special.psi(x)
    assert got == pytest.approx(exact, rel=1e-3 if abs(factor - 1) < 0.01 else 1e-5, abs=1e-6)


def test_softplus_and_sigmoid_do_not_overflow() -> None:
    x = np.array([-200.0, -20.0, -1.0, 0.0, 1.0, 20.0, 200.0], np.float32)
    wide = x.astype(np.float64)
    assert special.softplus(x) == pytest.approx(np.logaddexp(wide, 0), rel=1e-6, abs=1e-30)
    assert special.sigmoid(x) == pytest.approx(scipy_special.expit(wide), rel=1e-6, abs=1e-7)
