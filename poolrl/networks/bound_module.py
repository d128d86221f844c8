"""A torch module whose parameters and gradients are views of an agent's flat vectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from poolrl.networks.base import Inputs, NetworkOutput

F32 = NDArray[np.float32]


class TorchInputs(NamedTuple):
    """``Inputs`` as tensors; ``lengths`` and ``state`` are those of the sequences."""

    observation: Tensor
    noise: Tensor | None
    lengths: list[int]
    state: tuple[Tensor, ...]


class TorchOutput(NamedTuple):
    """``NetworkOutput`` as tensors."""

    parameters: Tensor
    value: Tensor
    penalties: dict[str, Tensor]


class BoundModule:
    """Forward and backward passes of a module through arrays that NumPy shares with it.

    Binding breaks in silence where a parameter's data or gradient is replaced, as by
    ``zero_grad()`` or ``load_state_dict(assign=True)``; so every backward pass checks it.

    Args:
        run: a forward pass.
        parameters: of the module, by their names in ``arrays``.
        arrays: parameters, which the module shares from now on.
        gradient: receives the derivatives; ``None`` for a module that is not trained.
    """

    def __init__(
        self,
        run: Callable[[TorchInputs], TorchOutput],
        parameters: Mapping[str, nn.Parameter],
        arrays: Mapping[str, NDArray[Any]],
        gradient: Mapping[str, F32] | None,
    ) -> None:
        self._run = run
        self._output: TorchOutput | None = None
        self._bound: list[tuple[str, nn.Parameter, Tensor, Tensor | None]] = []
        for name, parameter in parameters.items():
            array = arrays[name]
            if gradient is None and not array.flags.writeable:
                array = array.copy()  # torch warns of others, which nothing here writes to
            data = torch.from_numpy(array)
            own = None if gradient is None else torch.from_numpy(gradient[name])
            parameter.data, parameter.grad = data, own
            self._bound.append((name, parameter, data, own))
        self._gradient = list(gradient.values()) if gradient is not None else []

    def forward(self, inputs: Inputs) -> NetworkOutput:
        """Outputs of a batch, kept for ``backward``."""
        sequences = inputs.sequences
        with torch.set_grad_enabled(bool(self._gradient)):
            self._output = self._run(
                TorchInputs(
                    torch.from_numpy(inputs.observation),
                    None if inputs.noise is None else torch.from_numpy(inputs.noise),
                    [] if sequences is None else sequences.lengths.tolist(),
                    () if sequences is None else tuple(map(torch.from_numpy, sequences.state)),
                )
            )
        output = self._output
        return NetworkOutput(
            output.parameters.detach().numpy(),
            output.value.detach().numpy(),
            {name: each.detach().numpy() for name, each in output.penalties.items()},
        )

    def backward(
        self,
        by_parameters: F32 | None,
        by_value: F32 | None,
        by_penalties: Mapping[str, F32] | None,
    ) -> None:
        """As ``Network.backward``.

        Raises:
            RuntimeError: a parameter has left the flat vector.
        """
        assert self._output is not None
        for array in self._gradient:
            array.fill(0)
        outputs, derivatives = [], []
        for output, derivative in (
            (self._output.parameters, by_parameters),
            (self._output.value, by_value),
            *((self._output.penalties[name], by) for name, by in (by_penalties or {}).items()),
        ):
            if derivative is not None and output.requires_grad:
                outputs.append(output)
                derivatives.append(torch.from_numpy(np.ascontiguousarray(derivative)))
        if outputs:
            torch.autograd.backward(outputs, derivatives, retain_graph=by_value is None)
        for name, parameter, data, own in self._bound:
            gradient = parameter.grad
            if parameter.data_ptr() != data.data_ptr() or (
                own is not None and (gradient is None or gradient.data_ptr() != own.data_ptr())
            ):
                raise RuntimeError(f"parameter {name} has been replaced: it left the flat vector")
