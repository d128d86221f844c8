"""Random search: one random step of the actor's weights, without a gradient.

The smallest learner, for tests of the pool itself: it costs so little that many pools are cheap.
Within a pool it is a (1 + N) evolution strategy: branches mutate, the merge selects.
"""

from __future__ import annotations

import msgspec
import numpy as np

from poolrl.agent import Agent
from poolrl.algorithms.types import MakeTask, Training
from poolrl.config.learners import RandomSearch
from poolrl.rollouts.sampler import Budget, Sampler
from poolrl.seeding import Purpose, Streams


def train(
    agent: Agent, make_task: MakeTask, budget: Budget, hp: RandomSearch, streams: Streams
) -> Training:
    """Mutate the agent once, then sample the budget.

    Arguments and errors as for ``poolrl.algorithms.training.train``.
    """
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
    sampler = Sampler(task, streams.generators_from(Purpose.RESET), budget)
    for _ in sampler.steps(mutant.policy, streams.generator(Purpose.ACTION)):
        pass
    returns, steps = sampler.pop_episodes().returns, sampler.steps_taken
    metadata = msgspec.structs.replace(
        agent.metadata,
        environment_steps=agent.metadata.environment_steps + steps,
        episodes=agent.metadata.episodes + len(returns),
        updates=agent.metadata.updates + 1,
    )
    metrics = {"rollout/ep_rew_mean": float(returns.mean())}
    return Training(Agent(arrays, metadata), returns.tolist(), steps, 1, metrics)
