"""Time of MPO's update on one batch, and of its pass of the target critic over all samples.

    python benchmarks/mpo_update.py

Two passes over tiled rows, as other implementations make them, stand beside it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from poolrl import threads

threads.use_single_thread()  # before NumPy is imported

import numpy as np  # noqa: E402
from gymnasium.spaces import Box  # noqa: E402

from poolrl.algorithms import mpo  # noqa: E402
from poolrl.algorithms.actor_critic import ActorCritic  # noqa: E402
from poolrl.config.mpo import MPO  # noqa: E402
from poolrl.config.networks import QMLPSpec  # noqa: E402
from poolrl.distributions.tanh_mean_gaussian import TanhMeanGaussian  # noqa: E402
from poolrl.networks.mlp import MLP  # noqa: E402
from poolrl.networks.parameters import initial_action_values  # noqa: E402

SIZES = {"HalfCheetah-v5": (17, 6), "a body with 80 muscles": (400, 80)}
REPEATS = 30


def measure(observation: int, action: int) -> None:
    """Print the times for sizes of observation and action."""
    rng = np.random.default_rng(0)
    hp, spec = MPO(), QMLPSpec()
    box = Box(-1.0, 1.0, (action,), np.float32)
    arrays = initial_action_values(spec, observation, box, rng)
    networks = ActorCritic(arrays, spec)
    n, k = hp.batch_size, hp.action_samples

    def normal(*shape: int) -> mpo.F32:
        return rng.standard_normal(shape, np.float32)

    noise = normal(k, 2 * n, action)
    batch = mpo.Batch(
        normal(n, observation), normal(n, action), normal(n), normal(n), normal(n, observation)
    )
    distribution = TanhMeanGaussian(box.low, box.high)
    critic = MLP(networks.arrays, "target.critic", len(spec.critic) + 1, spec.activation)
    observations = np.concatenate((batch.observation, batch.next_observation))

    def tiled() -> None:
        for rows in (slice(None, n), slice(n, None)):
            repeated = np.broadcast_to(observations[rows], (k, n, observation))
            critic(np.concatenate((repeated, noise[:, rows]), axis=2).reshape(k * n, -1))

    report("  two passes over tiled rows", tiled)
    report("  one pass of the target critic", lambda: networks.target_critic(observations, noise))
    report("  the whole update", lambda: mpo.update(networks, distribution, batch, noise, hp))


def report(name: str, function: Callable[[], object]) -> None:
    """Print the median and the smallest time of a function, in milliseconds."""
    function()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        function()
        times.append(1000 * (time.perf_counter() - start))
    print(f"{name:32} {np.median(times):6.1f} ms (smallest {min(times):.1f})", flush=True)


if __name__ == "__main__":
    for task, sizes in SIZES.items():
        print(f"{task}: observations of {sizes[0]}, actions of {sizes[1]}")
        measure(*sizes)
