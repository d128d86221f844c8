"""Parameters of a policy: names, shapes, checks and initial values."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poolrl.config.networks import (
    EncoderDecoderSpec,
    MLPSpec,
    ModuleSpec,
    NetworkSpec,
    QMLPSpec,
    RecurrentSpec,
)
from poolrl.distributions.factory import make_distribution
from poolrl.errors import UsageError
from poolrl.exploration.sensors import EXTREMA
from poolrl.networks.cells import GATES
from poolrl.networks.value_normalizer import PREFIX as VALUE_PREFIX
from poolrl.spaces import ActionSpace

MAX_PARAMETERS = 100_000_000
"""Of actor and critic together: 400 MB, far beyond the sizes that NumPy on a CPU is suited to."""


CONSTANT_PREFIX = "constant/"
"""Of the names of a user's buffers, and of its parameters without a gradient."""

LEARNER_PREFIX = "learner/"
"""Of the names of a learner's running state: float64 arrays of shape ()."""

EXPLORATION_PREFIX = "exploration/"
"""Prefix of the names of what exploration has seen: extrema of the state of actuators."""


TARGET_PREFIX = "target."
"""Of the names of the target copies of an actor and a critic."""

DUAL_PREFIX = "dual."
"""Of the names of dual variables."""


def expected_shapes(
    network: NetworkSpec,
    observation_size: int,
    action_space: ActionSpace,
    *,
    normalized_values: bool = False,
) -> dict[str, tuple[int, ...]]:
    """The names and shapes of a network's arrays, named as in torch.

    Args:
        network: architecture of actor and critic.
        observation_size: number of observed values.
        action_space: of one simulation.
        normalized_values: whether the critic predicts normalised values.

    Raises:
        UsageError: the network's distribution does not suit the actions, or it is far too large.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    if network.normalize_observations:
        size = (observation_size,)
        shapes |= {"normalizer.mean": size, "normalizer.var": size, "normalizer.count": ()}
    if normalized_values:
        shapes |= {f"{VALUE_PREFIX}{name}": () for name in ("mean", "var", "count")}
    distribution = make_distribution(network, action_space)
    outputs = distribution.num_parameters - distribution.free_parameters
    if isinstance(network, ModuleSpec):
        shapes |= network.arrays
        shapes |= {f"{CONSTANT_PREFIX}{n}": shape for n, (_, shape) in network.constants.items()}
    elif isinstance(network, QMLPSpec):
        own = dict(_action_value_layers(network, observation_size, outputs))
        shapes |= own | {f"{TARGET_PREFIX}{name}": shape for name, shape in own.items()}
        shapes |= {name: value.shape for name, value in initial_duals(outputs // 2).items()}
    else:
        shapes |= {name: shape for name, shape, _ in layers(network, observation_size, outputs)}
    if distribution.free_parameters:
        shapes["actor.free"] = (distribution.free_parameters,)
    total = sum(map(math.prod, shapes.values()))
    if total > MAX_PARAMETERS:
        raise UsageError(f"network: {total:,} parameters, more than {MAX_PARAMETERS:,}")
    return shapes


def layers(
    network: MLPSpec | RecurrentSpec | EncoderDecoderSpec, observation_size: int, outputs: int
) -> Iterator[tuple[str, tuple[int, ...], float]]:
    """Yield name, shape and initial gain of the arrays of actor, critic and trunk, as in torch.

    Args:
        network: architecture of actor and critic.
        observation_size: number of observed values.
        outputs: number of parameters of the distribution that the actor computes.
    """
    if isinstance(network, EncoderDecoderSpec):
        yield from _encoder_decoder_layers(network, observation_size, outputs)
        return
    parts = {"actor": (network.actor, outputs, network.policy_gain)}
    parts["critic"] = (network.critic, 1, network.value_gain)
    inputs = {"actor": observation_size - len(network.critic_columns), "critic": observation_size}
    if network.shared:
        sizes = [observation_size, *network.actor]
        yield from _linear("shared", sizes, network.hidden_gain)
        width = sizes[-1]
        if isinstance(network, RecurrentSpec):
            yield from _memory("shared.memory", width, network.memory, network.cell)
            width = network.memory
        inputs = dict.fromkeys(inputs, width)
    for part, (hidden, size, gain) in parts.items():
        own = () if network.shared else hidden
        sizes = [inputs[part], *own]
        yield from _linear(part, sizes, network.hidden_gain)
        if isinstance(network, RecurrentSpec) and not network.shared:
            yield from _memory(f"{part}.memory", sizes[-1], network.memory, network.cell)
            sizes = [network.memory]
        head = f"{part}.{2 * len(own)}" if isinstance(network, MLPSpec) else f"{part}.head"
        yield f"{head}.weight", (size, sizes[-1]), gain
        yield f"{head}.bias", (size,), 0.0


def _encoder_decoder_layers(
    network: EncoderDecoderSpec, observation_size: int, outputs: int
) -> Iterator[tuple[str, tuple[int, ...], float]]:
    """As ``layers``; the bottleneck is zero at first."""
    encoded = len(network.encoder_columns)
    inputs = observation_size - encoded - len(network.critic_columns)
    if network.bottleneck != "none":
        sizes = [encoded, *network.encoder]
        yield from _linear("actor.encoder", sizes, network.hidden_gain)
        units = network.latent_size * (2 if network.bottleneck == "variational" else 1)
        yield "actor.bottleneck.weight", (units, sizes[-1]), 0.0
        yield "actor.bottleneck.bias", (units,), 0.0
        inputs += network.latent_size
    widths = [inputs, *network.decoder]
    if network.decoder_kind == "mlp":
        yield from _linear("actor.decoder", widths, network.hidden_gain)
    memories = pairwise([inputs, *network.lstm_widths(outputs)])
    for i, (below, width) in enumerate(memories):
        yield from _memory(f"actor.decoder.{i}", below, width, "lstm")
    if network.decoder_output == "linear":
        yield "actor.head.weight", (outputs, widths[-1]), network.policy_gain
        yield "actor.head.bias", (outputs,), 0.0
    critic = [observation_size, *network.critic]
    yield from _linear("critic", critic, network.hidden_gain)
    yield f"critic.{2 * len(network.critic)}.weight", (1, critic[-1]), network.value_gain
    yield f"critic.{2 * len(network.critic)}.bias", (1,), 0.0


def _action_value_layers(
    network: QMLPSpec, observation_size: int, outputs: int
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield name and shape of the arrays of an actor and a critic of actions, which have half as
    many dimensions as the actor has outputs."""
    parts = {
        "actor": (observation_size, *network.actor, outputs),
        "critic": (observation_size + outputs // 2, *network.critic, 1),
    }
    for part, sizes in parts.items():
        for name, shape, _ in _linear(part, sizes, 1.0):
            yield name, shape


def initial_duals(size: int) -> dict[str, NDArray[Any]]:
    """The dual variables of a new agent, before softplus, as of tonic's MPO: temperatures of the
    E-step and of the action penalty, and multipliers of the constraints of mean and standard
    deviation.

    Args:
        size: number of dimensions of an action.
    """
    starts = {"temperature": (1, 1.0), "penalty_temperature": (1, 1.0)}
    starts |= {"mean": (size, 1.0), "std": (size, 10.0)}
    return {
        f"{DUAL_PREFIX}{name}": np.full(count, value, np.float32)
        for name, (count, value) in starts.items()
    }


def initial_action_values(
    network: QMLPSpec,
    observation_size: int,
    action_space: ActionSpace,
    generator: np.random.Generator,
) -> dict[str, NDArray[Any]]:
    """Initial values of a new agent's arrays, for an actor and a critic of actions.

    Weights and biases are uniform within ±1/√(number of inputs), as in ``torch.nn.Linear``; targets
    are the same.

    Args:
        network: architecture of actor and critic.
        observation_size: number of observed values.
        action_space: of one simulation.
        generator: draws weights and biases.

    Raises:
        UsageError: as for ``expected_shapes``.
    """
    arrays = initial_normalizer(network, observation_size)
    bound = 0.0
    for name, shape in expected_shapes(network, observation_size, action_space).items():
        if name.startswith(("actor.", "critic.")):
            if name.endswith(".weight"):
                bound = shape[1] ** -0.5  # that of the bias, which follows, too
            arrays[name] = generator.uniform(-bound, bound, shape).astype(np.float32)
            arrays[f"{TARGET_PREFIX}{name}"] = arrays[name].copy()
    distribution = make_distribution(network, action_space)
    return arrays | initial_duals(distribution.num_parameters // 2)


def _linear(
    part: str, sizes: Sequence[int], gain: float
) -> Iterator[tuple[str, tuple[int, ...], float]]:
    # torch.nn.Sequential counts the activations too, so linear layers have even numbers.
    for i, (inputs, units) in enumerate(pairwise(sizes)):
        yield f"{part}.{2 * i}.weight", (units, inputs), gain
        yield f"{part}.{2 * i}.bias", (units,), 0.0


def _memory(
    name: str, inputs: int, width: int, cell: str
) -> Iterator[tuple[str, tuple[int, ...], float]]:
    units = GATES[cell] * width
    yield f"{name}.weight_ih_l0", (units, inputs), 1.0
    yield f"{name}.weight_hh_l0", (units, width), 1.0
    yield f"{name}.bias_ih_l0", (units,), 0.0
    yield f"{name}.bias_hh_l0", (units,), 0.0


def has_normalized_values(arrays: Mapping[str, NDArray[Any]]) -> bool:
    """Whether the critic of an agent with these arrays predicts normalised values."""
    return any(name.startswith(VALUE_PREFIX) for name in arrays)


def extrema_of(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float64]]:
    """Extrema of lengths and forces of actuators that exploration has seen, (actuators,) by the
    names of ``poolrl.exploration.sensors.EXTREMA``; empty in agents that have seen none."""
    start = len(EXPLORATION_PREFIX)
    return {n[start:]: array for n, array in arrays.items() if n.startswith(EXPLORATION_PREFIX)}


def exploration_shapes(
    arrays: Mapping[str, NDArray[Any]], shape: tuple[int, ...]
) -> dict[str, tuple[int, ...]]:
    """Shapes of these extrema, by the names of arrays, of those that an agent has.

    Args:
        arrays: of the agent.
        shape: of an action.
    """
    return {f"{EXPLORATION_PREFIX}{name}": shape for name in extrema_of(arrays) if name in EXTREMA}


def is_statistic(name: str) -> bool:
    """Whether an array holds running statistics or state, which no gradient changes."""
    return name.startswith(("normalizer.", VALUE_PREFIX, LEARNER_PREFIX, EXPLORATION_PREFIX))


def is_parameter(name: str) -> bool:
    """Whether an array is changed by gradients."""
    return not is_statistic(name) and not name.startswith(CONSTANT_PREFIX)


def check_arrays(
    arrays: Mapping[str, NDArray[Any]],
    shapes: Mapping[str, tuple[int, ...]],
    network: NetworkSpec,
) -> None:
    """Check names, shapes and types of an agent's arrays.

    Args:
        arrays: of the agent.
        shapes: by name.
        network: says the types of constants.

    Raises:
        UsageError: names the first array that is missing or wrong.
    """
    constants = network.constants if isinstance(network, ModuleSpec) else {}
    for name, shape in shapes.items():
        if name not in arrays:
            raise UsageError(f"agent: tensor {name} is missing")
        if arrays[name].shape != shape:
            raise UsageError(f"agent: tensor {name} has shape {arrays[name].shape}, not {shape}")
        dtype = "float64" if is_statistic(name) else "float32"
        if name.startswith(CONSTANT_PREFIX):
            dtype = constants[name.removeprefix(CONSTANT_PREFIX)][0]
        if str(arrays[name].dtype) != dtype:
            raise UsageError(f"agent: tensor {name} is {arrays[name].dtype}, not {dtype}")


def initial_arrays(
    network: MLPSpec | RecurrentSpec | EncoderDecoderSpec,
    observation_size: int,
    action_space: ActionSpace,
    generator: np.random.Generator,
) -> dict[str, NDArray[Any]]:
    """Initial values of a new agent's arrays (Andrychowicz et al. 2021).

    Weights are orthogonal with the gains that the network names, a recurrent layer's by gate with
    gain 1. Biases are zero, but 1 in the forget gate of an LSTM.

    Args:
        network: architecture of actor and critic.
        observation_size: number of observed values.
        action_space: of one simulation.
        generator: draws the weights.

    Raises:
        UsageError: as for ``expected_shapes``.
    """
    distribution = make_distribution(network, action_space)
    outputs = distribution.num_parameters - distribution.free_parameters
    gains = {name: gain for name, _, gain in layers(network, observation_size, outputs)}
    arrays = initial_normalizer(network, observation_size)
    cell = network.cell if isinstance(network, RecurrentSpec) else "lstm"
    for name, shape in expected_shapes(network, observation_size, action_space).items():
        if name.endswith(("weight_ih_l0", "weight_hh_l0")):
            gate = (shape[0] // GATES[cell], shape[1])
            gates = [_orthogonal(gate, generator) for _ in range(GATES[cell])]
            arrays[name] = np.concatenate(gates).astype(np.float32)
        elif name.endswith(".weight"):
            arrays[name] = (_orthogonal(shape, generator) * gains[name]).astype(np.float32)
        elif name == "actor.free":
            arrays[name] = distribution.initial_free()
        elif not is_statistic(name):
            arrays[name] = np.zeros(shape, np.float32)
        if cell == "lstm" and name.endswith(".bias_ih_l0"):
            width = shape[0] // GATES[cell]
            arrays[name][width : 2 * width] = 1  # the forget gate
    return arrays


def actor_columns(network: NetworkSpec, observation_size: int) -> NDArray[np.intp] | None:
    """The numbers of the observed values that the actor sees; ``None`` for all."""
    if not network.critic_columns:
        return None
    return np.setdiff1d(np.arange(observation_size), network.critic_columns)


def initial_normalizer(network: NetworkSpec, observation_size: int) -> dict[str, NDArray[Any]]:
    """The statistics of observations before the first one, if the network has some."""
    if not network.normalize_observations:
        return {}
    size = (observation_size,)
    mean, var, count = np.zeros(size), np.ones(size), np.zeros(())
    return {"normalizer.mean": mean, "normalizer.var": var, "normalizer.count": count}


def _orthogonal(shape: tuple[int, ...], generator: np.random.Generator) -> NDArray[np.float64]:
    rows, columns = shape
    normal = generator.standard_normal((max(shape), min(shape)))
    q, r = np.linalg.qr(normal)
    q *= np.sign(np.diag(r))  # makes the distribution of q uniform over orthogonal matrices
    matrix: NDArray[np.float64] = q if rows >= columns else q.T
    return matrix
