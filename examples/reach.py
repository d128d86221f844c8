r"""A user's task in MuJoCo: bring the tip of an arm of two links to a target.

poolrl run --task examples/reach.py:Reach --pool-count 4 --iterate-episodes 40 \
    --iterations 8 --learning-rate 1e-3 --set learner.discount=0.95
"""

import numpy as np

from poolrl.tasks.mujoco import MujocoTask

ARM = """
<mujoco>
  <option timestep="0.01"/>
  <default><joint type="hinge" axis="0 0 1" damping="0.005"/></default>
  <worldbody>
    <body>
      <joint name="shoulder"/><geom type="capsule" fromto="0 0 0 .1 0 0" size=".01"/>
      <body pos=".1 0 0">
        <joint name="elbow"/><geom type="capsule" fromto="0 0 0 .1 0 0" size=".01"/>
      </body>
    </body>
  </worldbody>
  <actuator>
    <motor joint="shoulder" gear=".02" ctrlrange="-1 1"/>
    <motor joint="elbow" gear=".02" ctrlrange="-1 1"/>
  </actuator>
</mujoco>
"""


class Reach(MujocoTask):
    """Two links in a plane; the reward is the negative distance of the tip from a target.

    The observation is (joint angles, joint velocities, target minus tip).
    """

    def __init__(self, num_simulations, *, max_episode_steps=100, frame_skip=2):
        self.target = np.zeros((num_simulations, 2))
        options = {"xml_file": ARM, "frame_skip": frame_skip}
        super().__init__(num_simulations, max_episode_steps=max_episode_steps, **options)

    def reset(self, ids, generators):
        angles = [generator.uniform(-np.pi, np.pi) for generator in generators]
        self.target[ids] = 0.15 * np.stack((np.cos(angles), np.sin(angles)), axis=1)
        super().reset(ids, generators)

    def draw_state(self, generator):
        return generator.uniform(-0.1, 0.1, self.model.nq), np.zeros(self.model.nv)

    def from_tip(self):
        first, second = self.qpos[:, 0], self.qpos.sum(axis=1)
        tip = np.cos(first) + np.cos(second), np.sin(first) + np.sin(second)
        return self.target - 0.1 * np.stack(tip, axis=1)

    def observe(self):
        return np.concatenate((self.qpos, self.qvel, self.from_tip()), axis=1)

    def reward(self, action):
        return -np.linalg.norm(self.from_tip(), axis=1)
