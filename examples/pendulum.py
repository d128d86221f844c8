r"""A user's task in NumPy: swing a pendulum up and hold it there.

poolrl run --task examples/pendulum.py:Pendulum --pool-count 4 --iterate-episodes 40 \
    --iterations 6 --learning-rate 1e-3 --set learner.discount=0.95
"""

import numpy as np
from gymnasium.spaces import Box

from poolrl.tasks import StepResult, Task


class Pendulum(Task):
    """A rod on a hinge with a motor that is too weak to lift it at once.

    The observation is (cos, sin, velocity) of the angle, which is 0 where the rod is upright.
    """

    def __init__(
        self,
        num_simulations,
        *,
        max_episode_steps=200,
        gravity=10.0,
        max_torque=2.0,
    ):
        self.num_simulations = num_simulations
        self.max_episode_steps = max_episode_steps
        self.observation_space = Box(-np.inf, np.inf, (3,), np.float64)
        self.action_space = Box(-max_torque, max_torque, (1,), np.float32)
        self.gravity = gravity
        self.angle = np.zeros(num_simulations)
        self.velocity = np.zeros(num_simulations)
        self.elapsed = np.zeros(num_simulations, int)

    def reset(self, ids, generators):
        self.angle[ids] = [generator.uniform(-np.pi, np.pi) for generator in generators]
        self.velocity[ids] = [generator.uniform(-1.0, 1.0) for generator in generators]
        self.elapsed[ids] = 0

    def observe(self):
        return np.stack((np.cos(self.angle), np.sin(self.angle), self.velocity), axis=1)

    def step(self, action, ids=None):
        ids = np.arange(self.num_simulations) if ids is None else ids
        reward = np.zeros(self.num_simulations)
        torque = action[ids, 0].astype(float)
        angle, velocity = self.angle[ids], self.velocity[ids]
        from_top = (angle + np.pi) % (2 * np.pi) - np.pi
        reward[ids] = -(from_top**2) - 0.1 * velocity**2 - 0.001 * torque**2
        acceleration = 1.5 * self.gravity * np.sin(angle) + 3.0 * torque
        self.velocity[ids] = np.clip(velocity + 0.05 * acceleration, -8.0, 8.0)
        self.angle[ids] += 0.05 * self.velocity[ids]
        self.elapsed[ids] += 1
        never = np.zeros(self.num_simulations, bool)
        return StepResult(self.observe(), reward, never, self.elapsed >= self.max_episode_steps)
