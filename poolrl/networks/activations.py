"""Activation functions in NumPy, with their derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

F32 = NDArray[np.float32]


class Activation(NamedTuple):
    """An activation function.

    Attributes:
        apply: computes it in place.
        derivative: of its value and, if ``of_input``, its input; a new array.
        of_input: whether the derivative needs the input.
    """

    apply: Callable[[F32], None]
    derivative: Callable[[F32, F32 | None], NDArray[Any]]
    of_input: bool = False


def _tanh(x: F32) -> None:
    np.tanh(x, out=x)


def _tanh_derivative(y: F32, _: F32 | None) -> F32:
    """1 − tanh²."""
    derivative: F32 = np.square(y)
    np.subtract(1, derivative, out=derivative)
    return derivative


def _relu(x: F32) -> None:
    np.maximum(x, 0, out=x)


def _relu_derivative(y: F32, _: F32 | None) -> NDArray[np.bool_]:
    return y > 0


def _elu(x: F32) -> None:
    """x, or exp(x) − 1 below 0 (Clevert et al. 2016)."""
    negative = np.minimum(x, 0)
    np.expm1(negative, out=negative)
    np.maximum(x, 0, out=x)
    x += negative


def _elu_derivative(y: F32, _: F32 | None) -> F32:
    """1, or exp(x) below 0."""
    derivative: F32 = np.minimum(y, 0)
    derivative += 1
    return derivative


def _silu(x: F32) -> None:
    """x · σ(x) (Elfwing et al. 2018)."""
    x *= expit(x)


def _silu_derivative(_: F32, x: F32 | None) -> F32:
    """σ(x) (1 + x (1 − σ(x)))."""
    assert x is not None
    sigmoid: F32 = expit(x)
    derivative: F32 = sigmoid * (1 + x * (1 - sigmoid))
    return derivative


ACTIVATIONS: dict[str, Activation] = {
    "tanh": Activation(_tanh, _tanh_derivative),
    "relu": Activation(_relu, _relu_derivative),
    "elu": Activation(_elu, _elu_derivative),
    "silu": Activation(_silu, _silu_derivative, of_input=True),
}
