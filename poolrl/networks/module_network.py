"""A user's own torch module as a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from poolrl.config.networks import ModuleSpec
from poolrl.networks.base import Inputs, Network, NetworkOutput, State
from poolrl.networks.bound_module import BoundModule, TorchInputs, TorchOutput
from poolrl.networks.parameters import CONSTANT_PREFIX
from poolrl.networks.permissions import permitted

F32 = NDArray[np.float32]

FREE = "actor.free"


class ModuleNetwork(Network):
    """A user's module over an agent's arrays.

    Args:
        arrays: named tensors of an agent.
        spec: names the module, which must have been permitted.
        observation_size: number of observed values.
        outputs: number of parameters of the distribution that it computes.
        gradient: arrays that receive the derivatives; ``None`` for a network that is not trained.

    Raises:
        UsageError: the module was not permitted, or cannot be made.
    """

    def __init__(
        self,
        arrays: Mapping[str, NDArray[Any]],
        spec: ModuleSpec,
        observation_size: int,
        outputs: int,
        gradient: Mapping[str, F32] | None = None,
    ) -> None:
        self.noise_size = spec.noise_size
        self.penalty_names = spec.penalties
        self._state_shapes = spec.state
        module = make_module(spec, observation_size, outputs, seed=0)
        with torch.no_grad():
            for name, tensor in constants(module).items():
                tensor.copy_(torch.from_numpy(arrays[CONSTANT_PREFIX + name].copy()))
        parameters = trained(module)
        free: nn.Parameter | None = None
        if FREE in arrays:
            free = parameters[FREE] = nn.Parameter(torch.empty(arrays[FREE].shape))
        self._steps = UserSteps(module, spec, free)
        self._bound = BoundModule(self._steps.run, parameters, arrays, gradient)

    def initial_state(self, n: int) -> State:
        return tuple(np.zeros((n, *shape), np.float32) for shape in self._state_shapes)

    def act(self, observation: F32, state: State, noise: F32 | None = None) -> tuple[F32, State]:
        output, after = self.step(observation, state, noise)
        return output.parameters, after

    def step(
        self, observation: F32, state: State, noise: F32 | None = None
    ) -> tuple[NetworkOutput, State]:
        if self.noise_size and noise is None:
            noise = np.zeros((len(observation), self.noise_size), np.float32)
        with torch.no_grad():
            output, after = self._steps.step(
                torch.from_numpy(observation),
                tuple(map(torch.from_numpy, state)),
                None if noise is None else torch.from_numpy(noise),
            )
        penalties = {name: each.numpy() for name, each in output.penalties.items()}
        result = NetworkOutput(output.parameters.numpy(), output.value.numpy(), penalties)
        return result, tuple(part.numpy() for part in after)

    def forward(self, inputs: Inputs) -> NetworkOutput:
        return self._bound.forward(inputs)

    def backward(
        self,
        by_parameters: F32 | None = None,
        by_value: F32 | None = None,
        by_penalties: Mapping[str, F32] | None = None,
    ) -> None:
        self._bound.backward(by_parameters, by_value, by_penalties)


class NotReturned(TypeError):
    """A user's module returned something else than it must."""


class UserSteps:
    """Calls of a user's module: it takes what it says that it needs, and returns as much.

    Args:
        module: of the user.
        spec: says whether it has a memory, takes noise and has penalties.
        free: parameters of the distribution that do not depend on the observation; appended.
    """

    def __init__(self, module: nn.Module, spec: ModuleSpec, free: nn.Parameter | None) -> None:
        self._module, self._free = module, free
        self._has_memory, self._penalties = bool(spec.state), spec.penalties
        self._takes_noise = bool(spec.noise_size)
        names = ["parameters", "value", *["state"] * bool(spec.state)]
        self._names = (*names, *["penalties"] * bool(spec.penalties))

    def step(
        self, observation: Tensor, state: tuple[Tensor, ...], noise: Tensor | None
    ) -> tuple[TorchOutput, tuple[Tensor, ...]]:
        """Outputs of n observations, and the memory after them.

        Raises:
            NotReturned: the module returned something else.
        """
        arguments: list[Any] = [observation]
        if self._has_memory:
            arguments.append(state)
        if self._takes_noise:
            arguments.append(noise)
        result = self._module(*arguments)
        if not isinstance(result, tuple) or len(result) != len(self._names):
            raise NotReturned(f"forward must return ({', '.join(self._names)})")
        parameters, value, *rest = result
        if self._free is not None:
            parameters = torch.cat((parameters, self._free.expand(len(parameters), -1)), dim=1)
        after = tuple(rest.pop(0)) if self._has_memory else ()
        penalties = rest.pop(0) if self._penalties else {}
        return TorchOutput(parameters, value, penalties), after

    def run(self, inputs: TorchInputs) -> TorchOutput:
        """Outputs of all rows; those of sequences are computed step by step."""
        if not self._has_memory:
            return self.step(inputs.observation, (), inputs.noise)[0]
        lengths = torch.tensor(inputs.lengths)
        starts = torch.cumsum(lengths, 0) - lengths
        state = inputs.state
        outputs = []
        # Sequences that have ended go on with their last row, which no output is taken from.
        for t in range(int(lengths.max())):
            rows = starts + torch.minimum(torch.tensor(t), lengths - 1)
            noise = None if inputs.noise is None else inputs.noise[rows]
            output, state = self.step(inputs.observation[rows], state, noise)
            outputs.append(output)
        sequence = torch.repeat_interleave(torch.arange(len(lengths)), lengths)
        time = torch.arange(int(lengths.sum())) - starts[sequence]

        def gathered(parts: list[Tensor]) -> Tensor:
            return torch.stack(parts)[time, sequence]

        penalties = {
            name: gathered([output.penalties[name] for output in outputs])
            for name in self._penalties
        }
        return TorchOutput(
            gathered([output.parameters for output in outputs]),
            gathered([output.value for output in outputs]),
            penalties,
        )


def make_module(spec: ModuleSpec, observation_size: int, outputs: int, seed: int) -> nn.Module:
    """Construct the user's module in training mode, as it is in acting too.

    Args:
        spec: names it.
        observation_size: number of observed values.
        outputs: number of parameters of the distribution that it computes.
        seed: of torch, in its constructor; the process's own state of torch stays as it is.

    Raises:
        UsageError: it was not permitted.
    """
    entry = permitted(spec).entry
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module: nn.Module = entry(observation_size, outputs, **spec.kwargs)
    return module.train()


def trained(module: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that learn, by name; tied ones once."""
    return {name: each for name, each in module.named_parameters() if each.requires_grad}


def constants(module: nn.Module) -> dict[str, Tensor]:
    """The buffers, and the parameters that do not learn, by name."""
    fixed = {n: each.data for n, each in module.named_parameters() if not each.requires_grad}
    return fixed | dict(module.named_buffers())
