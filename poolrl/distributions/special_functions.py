"""Special functions of float32 arrays, written with NumPy's vectorised (SIMD) operations."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]

_HALF_LOG_2_PI = np.float32(0.9189385332046727)


def softplus(x: F32) -> F32:
    """log(1 + e^x) without overflow."""
    y: F32 = np.abs(x)
    np.negative(y, out=y)
    np.exp(y, out=y)
    np.log1p(y, out=y)
    y += np.maximum(x, 0)
    return y


def sigmoid(x: F32) -> F32:
    """1 / (1 + e^-x)."""
    y: F32 = np.tanh(x * np.float32(0.5))
    y += 1
    y *= np.float32(0.5)
    return y


def log_gamma(x: F32) -> F32:
    """log Γ(x) for x ≥ 1, to float32 precision.

    Γ(x) = Γ(x + 3) / (x (x + 1) (x + 2)), and Stirling's series for x + 3 ≥ 4 (Abramowitz & Stegun
    1964, 6.1.15 and 6.1.41).
    """
    y = x + 3
    series = _stirling(np.reciprocal(y))
    product = x * (x + 1)
    product *= x + 2
    log_product = np.log(product, out=product)
    total: F32 = (y - np.float32(0.5)) * np.log(y)
    total -= y
    total += series
    total += _HALF_LOG_2_PI
    total -= log_product
    return total


def digamma(x: F32) -> F32:
    """ψ(x), the derivative of log Γ(x), for x ≥ 1, to float32 precision.

    By the same shift and the asymptotic series (Abramowitz & Stegun 1964, 6.3.6 and 6.3.18).
    """
    y = x + 3
    inverse = np.reciprocal(y)
    square = inverse * inverse
    series = square * np.float32(-1 / 240)
    series += np.float32(1 / 252)
    series *= square
    series -= np.float32(1 / 120)
    series *= square
    series += np.float32(1 / 12)
    series *= square
    total: F32 = np.log(y)
    total -= np.float32(0.5) * inverse
    total -= series
    numerator = (3 * x + 6) * x + 2  # 1/x + 1/(x + 1) + 1/(x + 2), over one denominator
    denominator = x * (x + 1)
    denominator *= x + 2
    numerator /= denominator
    total -= numerator
    return total


def trigamma(x: F32) -> F32:
    """ψ′(x) for x ≥ 1, to float32 precision (Abramowitz & Stegun 1964, 6.4.6 and 6.4.12)."""
    y = x + 3
    inverse = np.reciprocal(y)
    square = inverse * inverse
    series = square * np.float32(-1 / 30)
    series += np.float32(1 / 42)
    series *= square
    series -= np.float32(1 / 30)
    series *= square
    series += np.float32(1 / 6)
    series *= square
    series += 1
    series *= inverse
    square *= np.float32(0.5)
    series += square
    for shift in range(3):
        inverse = np.reciprocal(x + np.float32(shift))
        series += inverse * inverse
    return series


def log_gamma_remainder(x: F32, change: F32) -> F32:
    """log Γ(x + d) − log Γ(x) − d·ψ(x) for x ≥ 1 and x + d ≥ 1, without cancellation.

    The differences of all terms of ``log_gamma`` are taken one by one: for y = x + 3 and r = d/y,
    those of Stirling's series are y·((1 + r)·log(1 + r) − r) − ½(log(1 + r) − r) and small ones.

    Args:
        x: of any shape.
        change: d, of the same shape.
    """
    y = x + 3
    inverse = np.reciprocal(y)
    ratio = change * inverse
    log_ratio = np.log1p(ratio)
    total: F32 = (1 + ratio) * log_ratio
    total -= ratio
    total *= y
    log_ratio -= ratio
    log_ratio *= np.float32(0.5)
    total -= log_ratio
    new_inverse = np.reciprocal(y + change)
    total += _stirling(new_inverse) - _stirling(inverse)
    square = inverse * inverse
    slope = square * np.float32(5 / 1260)
    slope -= np.float32(3 / 360)
    slope *= square
    slope += np.float32(1 / 12)
    slope *= square
    slope *= change
    total += slope  # the derivative of the series is negative
    product = np.ones_like(x)
    for shift in range(3):
        ratio = change / (x + np.float32(shift))
        total += ratio
        ratio += 1
        product *= ratio
    total -= np.log(product, out=product)
    return total


def _stirling(inverse: F32) -> F32:
    """The terms of Stirling's series that vanish for large y, of 1/y."""
    square = inverse * inverse
    series: F32 = square * np.float32(1 / 1260)
    series -= np.float32(1 / 360)
    series *= square
    series += np.float32(1 / 12)
    series *= inverse
    return series
