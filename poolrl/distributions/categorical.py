"""Categorical distributions, for one or several discrete choices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poolrl.distributions.base import F32, Distribution, Gradient

I64 = NDArray[np.int64]


class Categorical(Distribution):
    """Independent choices, each with a softmax over its logits.

    The parameters are the concatenated logits of all choices; a sample, shape (n, choices), is the
    index of the value of each choice. The deterministic action is the mode: the most probable value
    of each choice, the lower one of equals.

    Args:
        counts: number of values of each choice.
        start: added to an index to give the action.
        single: the action space is ``Discrete``: actions have shape (n,) instead of (n, 1).
    """

    def __init__(self, counts: Sequence[int], *, start: int = 0, single: bool = False) -> None:
        self._starts = np.concatenate(([0], np.cumsum(counts)[:-1])).astype(np.intp)
        self._choice = np.repeat(np.arange(len(counts)), counts)  # of every logit
        self._offset = start
        self._single = single
        self.num_parameters = int(sum(counts))

    def mode(self, parameters: F32) -> NDArray[Any]:
        """The action of the most probable values."""
        return self.action(self._highest(parameters))

    def sample(self, parameters: F32, generator: np.random.Generator) -> I64:
        # Gumbel-max trick: the argmax of logits plus Gumbel noise is a sample of the softmax.
        uniform = generator.random(parameters.shape, np.float32)
        np.maximum(uniform, np.finfo(np.float32).tiny, out=uniform)
        return self._highest(parameters - np.log(-np.log(uniform)))

    def action(self, sample: NDArray[Any]) -> NDArray[Any]:
        action: I64 = sample + self._offset
        return action[:, 0] if self._single else action

    def log_prob(self, parameters: F32, sample: NDArray[Any]) -> F32:
        chosen = np.take_along_axis(self._log_softmax(parameters), self._columns(sample), axis=1)
        total: F32 = chosen.sum(axis=1)
        return total

    def log_prob_gradient(self, parameters: F32, sample: NDArray[Any]) -> Gradient:
        log_p = self._log_softmax(parameters)
        columns = self._columns(sample)
        value = np.take_along_axis(log_p, columns, axis=1).sum(axis=1)
        # d log p_k / d logit_j = 1[j = k] − p_j
        gradient = -np.exp(log_p)
        gradient[np.arange(len(gradient))[:, None], columns] += 1
        return Gradient(value, gradient)

    def entropy(self, parameters: F32) -> F32:
        return self.entropy_gradient(parameters).value

    def entropy_gradient(self, parameters: F32) -> Gradient:
        log_p = self._log_softmax(parameters)
        p = np.exp(log_p)
        entropies = -np.add.reduceat(p * log_p, self._starts, axis=1)
        # dH/d logit_j = −p_j (log p_j + H)
        gradient: F32 = -p * (log_p + self._of_logits(entropies))
        return Gradient(entropies.sum(axis=1), gradient)

    def kl(self, old_parameters: F32, new_parameters: F32) -> F32:
        """Σ p·(log p − log p′) for old probabilities p and new ones p′."""
        old, new = self._log_softmax(old_parameters), self._log_softmax(new_parameters)
        total: F32 = (np.exp(old) * (old - new)).sum(axis=1)
        return total

    def _log_softmax(self, logits: F32) -> F32:
        shifted: F32 = logits - self._of_logits(np.maximum.reduceat(logits, self._starts, axis=1))
        total = np.add.reduceat(np.exp(shifted), self._starts, axis=1)
        shifted -= self._of_logits(np.log(total))
        return shifted

    def _of_logits(self, values: F32) -> F32:
        """The value of its choice for every logit, from (n, choices) to (n, num_parameters)."""
        # values[:, self._choice] would be in column-major order, with which arithmetic is slow.
        return np.take(values, self._choice, axis=1)

    def _highest(self, scores: F32) -> I64:
        parts = np.split(scores, self._starts[1:], axis=1)
        return np.stack([part.argmax(axis=1) for part in parts], axis=1)

    def _columns(self, sample: NDArray[Any]) -> I64:
        columns: I64 = sample + self._starts
        return columns
