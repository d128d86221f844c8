"""One random step of the actor's weights: the smallest learner, for testing the pool itself.

Within a pool it is a (1 + N) evolution strategy: branches mutate, the merge selects. It needs no
torch, so that many pools are cheap.
"""

from __future__ import annotations

import msgspec
import numpy as np

from poolrl.agent import Agent
from poolrl.config import Climb
from poolrl.learn.api import MakeTask, Training
from poolrl.learn.evaluate import evaluate
from poolrl.seeding import Purpose, Streams


def train(
    agent: Agent, make_task: MakeTask, episodes: int, hp: Climb, streams: Streams
) -> Training:
    """Mutate once, then play the episodes; see ``poolrl.learn.train``."""
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
    played = evaluate(
        mutant.policy,
        make_task(episodes),
        streams.generators(Purpose.RESET, 0, episodes),
        streams.generator(Purpose.ACTION),
    )
    steps = int(played.lengths.sum())
    metadata = msgspec.structs.replace(
        agent.metadata,
        environment_steps=agent.metadata.environment_steps + steps,
        episodes=agent.metadata.episodes + episodes,
        updates=agent.metadata.updates + 1,
    )
    metrics = {"rollout/ep_rew_mean": float(played.returns.mean())}
    return Training(Agent(arrays, metadata), played.returns.tolist(), steps, 1, metrics)
