"""Gymnasium's Walker2d-v5: two legs in the plane that walk."""

from __future__ import annotations

from poolrl.tasks.mujoco.locomotion import PlanarBalancing


class Walker2d(PlanarBalancing):
    """The task of Erez, Tassa and Todorov (2011) as Gymnasium defines it in ``Walker2d-v5``.

    The observation is (qpos without x, qvel clipped to ±10), the reward the x velocity over the
    control step plus a reward for being healthy less a control cost. It is healthy while the torso
    is neither too low nor too high nor bent too far. The keyword arguments are Gymnasium's.
    """

    def __init__(
        self,
        num_simulations: int,
        *,
        max_episode_steps: int = 1000,
        xml_file: str = "walker2d_v5.xml",
        frame_skip: int = 4,
        forward_reward_weight: float = 1.0,
        ctrl_cost_weight: float = 1e-3,
        healthy_reward: float = 1.0,
        terminate_when_unhealthy: bool = True,
        healthy_z_range: tuple[float, float] = (0.8, 2.0),
        healthy_angle_range: tuple[float, float] = (-1.0, 1.0),
        reset_noise_scale: float = 5e-3,
        exclude_current_positions_from_observation: bool = True,
    ) -> None:
        super().__init__(
            num_simulations,
            max_episode_steps=max_episode_steps,
            xml_file=xml_file,
            frame_skip=frame_skip,
            forward_reward_weight=forward_reward_weight,
            ctrl_cost_weight=ctrl_cost_weight,
            healthy_reward=healthy_reward,
            terminate_when_unhealthy=terminate_when_unhealthy,
            healthy_z_range=healthy_z_range,
            healthy_angle_range=healthy_angle_range,
            reset_noise_scale=reset_noise_scale,
            exclude_current_positions_from_observation=exclude_current_positions_from_observation,
        )
