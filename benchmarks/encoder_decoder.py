"""Time of an encoder-decoder's step and update, beside that of their matrix products alone.

    python benchmarks/encoder_decoder.py [--size tiny] [--microbatch-size 512] [--profile]

64 simulations of 16 steps with the 915 observed values and 38 actions of the virtual rodent's task
(Aldarondo et al. 2024), without the task, in one thread. Times are of the processor, so that what
else a machine does counts little.
"""

from __future__ import annotations

import report  # isort: skip  (before NumPy is loaded)

import cProfile
import pstats
import time
from collections.abc import Callable, Iterator

import click
import numpy as np
from gymnasium.spaces import Box

from poolrl.agent import Agent, AgentMetadata
from poolrl.algorithms import ppo
from poolrl.algorithms.train_state import TrainState
from poolrl.config.learners import PPO
from poolrl.config.networks import EncoderDecoderSpec
from poolrl.networks.base import State
from poolrl.networks.parameters import initial_arrays
from poolrl.rollouts.rollout import Rollout
from poolrl.rollouts.sampler import Episodes
from poolrl.spaces import SpaceSpec

SIMULATIONS, STEPS = 64, 16
PROPRIOCEPTION, TARGET, ACTIONS = 200, 715, 38
OBSERVATION = PROPRIOCEPTION + TARGET

WIDTHS = {"tiny": 256, "published": 1024}
REPEATS = {"tiny": 20, "published": 5}

HP = PPO(
    epochs=1,
    minibatch_size=SIMULATIONS * STEPS,
    segment_steps=STEPS,
    sequence_steps=STEPS,
    normalize_advantage=False,
    max_grad_norm=0.0,
    discount=0.95,
    penalties={"kl": 0.16},
    learning_rate=1e-4,
)


def new_state(width: int, microbatch_size: int) -> TrainState:
    """A new agent with hidden layers of a width."""
    network = EncoderDecoderSpec(
        encoder_senses=("target",),
        encoder_columns=tuple(range(PROPRIOCEPTION, OBSERVATION)),
        encoder=(width, width),
        decoder=(width, width),
        decoder_output="lstm",
        critic=(width, width),
        value_scale=20.0,
        normalizer_precision="double",
    )
    box = Box(-1.0, 1.0, (ACTIONS,), np.float32)
    arrays = initial_arrays(network, OBSERVATION, box, np.random.default_rng(0))
    metadata = AgentMetadata(
        task="Plateau-v0",
        max_episode_steps=1000,
        observation_space=SpaceSpec.of(Box(-np.inf, np.inf, (OBSERVATION,), np.float64)),
        action_space=SpaceSpec.of(box),
        learner="ppo",
        network=network,
    )
    return TrainState(Agent(arrays, metadata), microbatch_size=microbatch_size)


def act(state: TrainState, observation: np.ndarray) -> Rollout:
    """A rollout on invented observations, (T, n, observation size), of which one episode ends."""
    rng = np.random.default_rng(1)
    memory: State = ()
    outputs = []
    shape = observation.shape[:2]
    for x in observation:
        outputs.append(state.policy.act(x, memory, None, rng))
        memory = outputs[-1].state
    ended = np.zeros(shape, np.bool_)
    ended[-1] = ended[STEPS // 2, 0] = True
    log_prob = [
        state.policy.distribution.log_prob(each.parameters, each.sample)
        for each in outputs
        if each.parameters is not None and each.sample is not None
    ]
    normalized = state.policy.normalized(observation.reshape(-1, OBSERVATION))
    return Rollout(
        observation=observation,
        normalized=normalized.reshape(observation.shape),
        sample=np.array([each.sample for each in outputs]),
        log_prob=np.array(log_prob),
        value=np.zeros(shape, np.float32),
        reward=rng.normal(size=shape).astype(np.float32),
        ended=ended,
        bootstrap=np.zeros(shape, np.float32),
        valid=np.ones(shape, np.bool_),
        goes_on=np.ones(shape[1], np.bool_),
        episodes=Episodes(np.zeros(0), np.zeros(0, np.int64)),
        states=tuple(map(np.array, zip(*(each.before for each in outputs), strict=True))),
        noise=np.array([each.noise for each in outputs]),
    )


def products(state: TrainState, *, learns: bool) -> Iterator[tuple[int, int, int, int]]:
    """How often, and with which rows, inner size and columns, matrices are multiplied in a step or
    in an update, each weight forward and, of an update, back to its inputs and to itself."""
    rows = SIMULATIONS * STEPS if learns else SIMULATIONS
    for name, array in state.arrays.items():
        if not name.split(".")[-1].startswith("weight"):
            continue
        outputs, inputs = array.shape
        is_first = name in ("actor.encoder.0.weight", "critic.0.weight")
        if name.endswith("weight_hh_l0") and learns:
            yield STEPS, SIMULATIONS, inputs, outputs
            yield STEPS - 1, SIMULATIONS, outputs, inputs
        else:
            yield 1, rows, inputs, outputs
            if learns and not is_first:
                yield 1, rows, outputs, inputs
        if learns:
            yield 1, outputs, rows, inputs


def bound(shapes: list[tuple[int, int, int, int]]) -> Callable[[], None]:
    """Multiply matrices of these shapes, into arrays that are there already."""
    made = []
    for n, a, b, c in shapes:
        left, right = (np.ones(shape, np.float32) for shape in ((a, b), (b, c)))
        made.append((n, left, right, np.empty((a, c), np.float32)))

    def run() -> None:
        for n, left, right, out in made:
            for _ in range(n):
                np.matmul(left, right, out=out)

    return run


def milliseconds(functions: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median time of each, in turns."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for repeat in range(repeats + 1):
        for name, function in functions.items():
            start = time.process_time()
            function()
            if repeat:  # the first one fills caches and workspaces
                times[name].append(1000 * (time.process_time() - start))
    return {name: float(np.median(each)) for name, each in times.items()}


@click.command()
@click.option("--size", "sizes", type=click.Choice(list(WIDTHS)), multiple=True)
@click.option("--microbatch-size", default=0, help="0 for all at once.")
@click.option("--profile", is_flag=True, help="Say in which functions the time is spent.")
def main(sizes: tuple[str, ...], microbatch_size: int, profile: bool) -> None:
    """Print a table of times for each size."""
    rows = []
    for size in sizes or WIDTHS:
        state = new_state(WIDTHS[size], microbatch_size)
        observation = np.random.default_rng(0).normal(size=(STEPS, SIMULATIONS, OBSERVATION))
        data = act(state, observation)
        state.update_normalizer(observation.reshape(-1, OBSERVATION))

        def steps(state: TrainState = state, observation: np.ndarray = observation) -> None:
            act(state, observation)

        def update(state: TrainState = state, data: Rollout = data) -> None:
            ppo.update(state, data, HP, np.random.default_rng(0))

        found = milliseconds(
            {
                "16 steps": steps,
                "their products": bound(list(products(state, learns=False)) * STEPS),
                "update": update,
                "its products": bound(list(products(state, learns=True))),
            },
            REPEATS[size],
        )
        shares = [
            found["their products"] / found["16 steps"],
            found["its products"] / found["update"],
        ]
        rows.append(
            [
                *(f"{size}, {len(state.vector) / 1e6:.1f} M",),
                *(f"{found['16 steps'] / STEPS:.2f} ms", f"{shares[0]:.0%}"),
                *(f"{found['update']:.0f} ms", f"{shares[1]:.0%}"),
            ]
        )
        if profile:
            for function in (steps, update):
                profiler = cProfile.Profile(time.process_time)
                profiler.runcall(function)
                pstats.Stats(profiler).sort_stats("tottime").print_stats(14)
    head = ["network", "step of 64", "of it products", "update on 64 × 16", "of it products"]
    click.echo(report.table(head, rows))


if __name__ == "__main__":
    main()
