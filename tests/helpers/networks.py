"""A network of each kind: agents with random parameters, inputs, rollouts and updates."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from gymnasium.spaces import Box
from msgspec.structs import replace

from poolrl.agent import Agent
from poolrl.algorithms import ppo
from poolrl.algorithms.train_state import TrainState
from poolrl.algorithms.training import initial_agent
from poolrl.config.learners import PPO
from poolrl.config.networks import (
    EncoderDecoderSpec,
    MLPSpec,
    ModuleSpec,
    NetworkSpec,
    RecurrentSpec,
)
from poolrl.config.schema import Spec, TaskSpec
from poolrl.networks.base import Inputs, Network, Sequences, State
from poolrl.networks.factory import make_network
from poolrl.networks.parameters import CONSTANT_PREFIX, is_parameter
from poolrl.networks.permissions import permit
from poolrl.rollouts.rollout import Rollout
from poolrl.rollouts.sampler import Episodes
from poolrl.seeding import Streams
from poolrl.tasks.base import Task
from tests.helpers import user_networks

SIZE = 5
ACTIONS = Box(-2.0, 2.0, (3,), np.float32)

SPECS: dict[str, NetworkSpec] = {
    f"mlp {activation}{' shared' * shared}": MLPSpec(
        actor=(8, 6), critic=(8, 6), activation=activation, shared=shared, distribution="gaussian"
    )
    for activation in ("tanh", "relu", "elu", "silu")
    for shared in (False, True)
}

SPECS["linear"] = MLPSpec(actor=(), critic=(), distribution="gaussian")

SPECS |= {
    f"{cell}{' shared' * shared}": RecurrentSpec(
        actor=(8,), critic=(8,), cell=cell, memory=6, shared=shared, distribution="gaussian"
    )
    for cell in ("rnn", "gru", "lstm")
    for shared in (False, True)
}

SPECS["mlp, senses of the critic"] = MLPSpec(
    actor=(8,), critic=(8,), distribution="gaussian", critic_senses=("contact", "force")
)

SPECS["gru, senses of the critic"] = RecurrentSpec(
    actor=(8,), critic=(8,), cell="gru", memory=6, critic_senses=("force",)
)

USER_FILE = Path(user_networks.__file__)


def user_network(name: str, **options: Any) -> ModuleSpec:
    """A network of ``tests.helpers.user_networks``, permitted."""
    source = f"{USER_FILE}:{name}"
    permitted = permit(ModuleSpec(source=source, distribution="gaussian", **options), source)
    assert isinstance(permitted, ModuleSpec)
    return permitted


SPECS["lstm alone"] = RecurrentSpec(actor=(), critic=(), memory=6, activation="silu")

SPECS["lstm of two widths"] = RecurrentSpec(actor=(4, 7), critic=(5,), memory=6)

ENCODED: dict[str, dict[str, Any]] = {
    "variational, lstm": {},
    "variational, lstm output": {"decoder_output": "lstm", "value_scale": 4.0},
    "variational, mlp": {"decoder_kind": "mlp", "activation": "silu"},
    "deterministic, lstm": {"bottleneck": "deterministic", "std": "free", "std_init": 0.4},
    "noisy, lstm": {"bottleneck": "noisy", "noise_scale": 0.3, "encoder": (), "activation": "elu"},
    "decoder alone": {"bottleneck": "none", "encoder_senses": ()},
    "encoder, senses of the critic": {"critic_senses": ("force",), "decoder": (6,)},
}

for key, options in ENCODED.items():
    sizes = {"encoder": (8,), "latent_size": 3, "decoder": (6, 7), "critic": (8,)}
    SPECS[key] = EncoderDecoderSpec(**{"encoder_senses": ("joints",)} | sizes | options)


SPECS["user's"] = user_network("Plain", kwargs={"width": 7})

SPECS["user's with memory, noise and a penalty"] = user_network("Bottleneck")


class Case(NamedTuple):
    """A network with random parameters, and inputs for it."""

    network: Network
    arrays: dict[str, np.ndarray]
    gradient: dict[str, np.ndarray]
    inputs: Inputs


def case(name: str) -> Case:
    rng = np.random.default_rng(0)
    made = agent(name)
    constants = {n: a.copy() for n, a in made.arrays.items() if n.startswith(CONSTANT_PREFIX)}
    arrays = {
        key: (array + rng.normal(0, 0.3, array.shape)).astype(np.float32)
        for key, array in made.arrays.items()
        if is_parameter(key)
    }
    gradient = {key: np.full_like(array, np.nan) for key, array in arrays.items()}
    outputs = 3 if "actor.free" in arrays else 6  # means, and what else the distribution has
    network = make_network(arrays | constants, made.metadata.network, SIZE, outputs, gradient)
    lengths = np.array([4, 1, 7, 7, 3])
    rows = int(lengths.sum())
    state = tuple(
        rng.normal(0, 0.5, part.shape).astype(np.float32) for part in network.initial_state(5)
    )
    inputs = Inputs(
        observation=rng.normal(size=(rows, SIZE)).astype(np.float32),
        noise=rng.normal(size=(rows, network.noise_size)).astype(np.float32),
        sequences=Sequences(lengths, state) if state else None,
    )
    return Case(network, arrays, gradient, inputs)


def random_like(*arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(1)
    return tuple(rng.normal(size=array.shape).astype(np.float32) for array in arrays)


class Spaces(Task):
    """A task for its spaces alone."""

    observation_space = Box(-np.inf, np.inf, (SIZE,), np.float64)
    action_space = ACTIONS
    max_episode_steps = 10
    num_simulations = 1

    def senses(self) -> dict[str, Any]:
        rows = np.arange(SIZE)
        return {"contact": rows == 1, "force": rows >= 4, "joints": (rows != 1) & (rows < 4)}

    def reset(self, ids: Any, generators: Any) -> None:
        raise NotImplementedError

    def observe(self) -> Any:
        raise NotImplementedError

    def step(self, action: Any, ids: Any = None) -> Any:
        raise NotImplementedError


def agent(name: str) -> Agent:
    penalties = {"kl": 0.1} if "penalty" in name else {}
    penalties |= dict.fromkeys(getattr(SPECS[name], "penalties", ()), 0.1)
    spec = Spec(
        task=TaskSpec(id="Plateau-v0"),
        network=SPECS[name],
        learner=PPO(penalties=penalties, segment_steps=0),
    )
    return initial_agent(spec, Spaces(), Streams(0))


def rollout(state: TrainState, steps: int = 12, simulations: int = 4) -> Rollout:
    """Acting on invented observations, whose episodes end at random."""
    rng = np.random.default_rng(1)
    policy = state.policy
    shape = steps, simulations
    ended = rng.random(shape) < 0.2
    memory: State = ()
    outputs = []
    observation = rng.normal(size=(*shape, SIZE))
    start = np.ones(simulations, bool)
    for t in range(steps):
        outputs.append(policy.act(observation[t], memory, start, rng))
        memory, start = outputs[-1].state, ended[t]
    ended[-1] = True
    samples = np.array([output.sample for output in outputs])
    log_prob = [
        policy.distribution.log_prob(output.parameters, output.sample)
        for output in outputs
        if output.parameters is not None and output.sample is not None
    ]
    return Rollout(
        observation=observation,
        normalized=policy.normalized(observation.reshape(-1, SIZE)).reshape(*shape, SIZE),
        sample=samples,
        log_prob=np.array(log_prob),
        value=np.zeros(shape, np.float32),
        reward=rng.normal(size=shape).astype(np.float32),
        ended=ended,
        bootstrap=np.zeros(shape, np.float32),
        valid=np.ones(shape, bool),
        goes_on=np.zeros(simulations, bool),
        episodes=Episodes(np.zeros(0), np.zeros(0, np.int64)),
        states=tuple(map(np.array, zip(*(output.before for output in outputs), strict=True))),
        noise=None if outputs[0].noise is None else np.array([each.noise for each in outputs]),
    )


HP = PPO(epochs=1, minibatch_size=16, sequence_steps=4, learning_rate=1e-2)


def updated(state: TrainState, data: Rollout, count: int, hp: PPO = HP) -> Agent:
    hp = replace(hp, penalties=dict.fromkeys(state.policy.network.penalty_names, 0.1))
    for number in range(count):
        ppo.update(state, data, hp, np.random.default_rng(number))
    return state.to_agent(learner="ppo", environment_steps=0, episodes=0, updates=count)
