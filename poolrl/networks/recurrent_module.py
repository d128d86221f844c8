"""Actor and critic with a memory as a torch module."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from poolrl.config.networks import RecurrentSpec
from poolrl.networks.cells import NUM_STATES

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "elu": nn.ELU,
    "silu": nn.SiLU,
}
CELLS: dict[str, Callable[[int, int], nn.Module]] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


class RecurrentModule(nn.Module):
    """What ``poolrl.networks.recurrent_network.RecurrentNetwork`` computes, in torch.

    Args:
        arrays: named tensors of an agent, whose shapes and names the parameters have.
        spec: architecture.

    Attributes:
        state_shapes: of the memory of one row.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]], spec: RecurrentSpec) -> None:
        super().__init__()
        trunks = 1 if spec.shared else 2
        self.state_shapes = [(trunks, spec.memory)] * NUM_STATES[spec.cell]
        self._hidden = set(spec.critic_columns)
        self._trunks = ("shared",) if spec.shared else ("actor", "critic")
        hidden = {"shared": spec.actor, "actor": spec.actor, "critic": spec.critic}
        for part in dict.fromkeys((*self._trunks, "actor", "critic")):
            layers = len(hidden[part]) if part in self._trunks else None
            self.add_module(part, _Part(arrays, part, spec, layers))

    def step(
        self, observation: Tensor, state: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """One step.

        Args:
            observation: (n, observation size), normalised.
            state: the memory before it, tensors of shape (n, trunks, memory).

        Returns:
            The distribution's parameters, the values, and the memory after the step.
        """
        features, after = [], []
        for index, name in enumerate(self._trunks):
            seen = observation
            if self._hidden and name == "actor":
                seen = seen[:, [i for i in range(seen.shape[1]) if i not in self._hidden]]
            own = tuple(part[:, index].contiguous() for part in state)
            feature, new = self._part(name).run(seen, own)
            features.append(feature)
            after.append(new)
        parameters = self._part("actor").compute(features[0])
        value = self._part("critic").compute(features[-1]).squeeze(-1)
        parts = tuple(torch.stack(part, dim=1) for part in zip(*after, strict=True))
        return parameters, value, parts

    def _part(self, name: str) -> _Part:
        part = self.get_submodule(name)
        assert isinstance(part, _Part)
        return part


class _Part(nn.Module):
    """Hidden layers and memory, if they are not shared, and the linear layer, if there is one."""

    def __init__(
        self,
        arrays: Mapping[str, NDArray[Any]],
        part: str,
        spec: RecurrentSpec,
        layers: int | None,
    ) -> None:
        super().__init__()
        self._layers = layers or 0
        self._activation = ACTIVATIONS[spec.activation]()
        if layers is not None:
            for i in range(layers):
                outputs, inputs = arrays[f"{part}.{2 * i}.weight"].shape
                self.add_module(str(2 * i), nn.Linear(inputs, outputs))
            inputs = arrays[f"{part}.memory.weight_ih_l0"].shape[1]
            self.memory = CELLS[spec.cell](inputs, spec.memory)
        if f"{part}.head.bias" in arrays:
            self.head = nn.Linear(spec.memory, len(arrays[f"{part}.head.bias"]))
        self.free: nn.Parameter | None = None
        if f"{part}.free" in arrays:
            self.free = nn.Parameter(torch.empty(arrays[f"{part}.free"].shape))

    def run(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, list[Tensor]]:
        """(n, observation size) -> (n, memory), and the state after this step."""
        for i in range(self._layers):
            x = self._activation(self.get_submodule(str(2 * i))(x))
        hidden = tuple(each.unsqueeze(0) for each in state)
        y, after = self.memory(x.unsqueeze(0), hidden if len(hidden) > 1 else hidden[0])
        parts = after if isinstance(after, tuple) else (after,)
        return y.squeeze(0), [part.squeeze(0) for part in parts]

    def compute(self, x: Tensor) -> Tensor:
        """(n, memory) -> (n, outputs)."""
        y: Tensor = self.head(x)
        return y if self.free is None else torch.cat((y, self.free.expand(len(y), -1)), dim=1)
