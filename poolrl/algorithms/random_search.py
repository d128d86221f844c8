"""One random step of the actor's weights: the smallest learner, for testing the pool itself.

Within a pool it is a (1 + N) evolution strategy: branches mutate, the merge selects. It does next
to nothing, so that many pools are cheap.
"""

from __future__ import annotations

import msgspec
import numpy as np

from poolrl.agent import Agent
from poolrl.algorithms.types import Budget, MakeTask, Training
from poolrl.config.schema import Climb
from poolrl.rollouts.sampler import Player
from poolrl.seeding import Purpose, Streams


def train(
    agent: Agent, make_task: MakeTask, budget: Budget, hp: Climb, streams: Streams
) -> Training:
    """Mutate once, then play the budget; see ``poolrl.algorithms.training.train``."""
    generator = streams.generator(Purpose.SHUFFLE)
    arrays = {
        name: (
            array
            + np.float32(hp.learning_rate) * generator.standard_normal(array.shape, np.float32)
            if name.startswith("actor.")
            else array
        )
        for name, array in agent.arrays.items()
    }
    mutant = Agent(arrays, agent.metadata)
    task = make_task(budget.episodes or budget.steps)
    player = Player(task, streams.onwards(Purpose.RESET), budget)
    for _ in player.play(mutant.policy, streams.generator(Purpose.ACTION)):
        pass
    returns, steps = player.episodes().returns, player.steps
    metadata = msgspec.structs.replace(
        agent.metadata,
        environment_steps=agent.metadata.environment_steps + steps,
        episodes=agent.metadata.episodes + len(returns),
        updates=agent.metadata.updates + 1,
    )
    metrics = {"rollout/ep_rew_mean": float(returns.mean())}
    return Training(Agent(arrays, metadata), returns.tolist(), steps, 1, metrics)
