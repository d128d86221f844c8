"""Gymnasium's HalfCheetah-v5: a two-legged runner in the plane."""

from __future__ import annotations

from poolrl.tasks.mujoco.locomotion import Locomotion


class HalfCheetah(Locomotion):
    """The task of Wawrzyński (2009) as Gymnasium defines it in ``HalfCheetah-v5``.

    The observation is (qpos without x, qvel), the reward the x velocity of the front tip over the
    control step less a control cost; episodes end only at the time limit. The keyword
    arguments are Gymnasium's.
    """

    normal_velocities = True

    def __init__(
        self,
        num_simulations: int,
        *,
        max_episode_steps: int = 1000,
        xml_file: str = "half_cheetah.xml",
        frame_skip: int = 5,
        forward_reward_weight: float = 1.0,
        ctrl_cost_weight: float = 0.1,
        reset_noise_scale: float = 0.1,
        exclude_current_positions_from_observation: bool = True,
    ) -> None:
        super().__init__(
            num_simulations,
            max_episode_steps=max_episode_steps,
            xml_file=xml_file,
            frame_skip=frame_skip,
            forward_reward_weight=forward_reward_weight,
            ctrl_cost_weight=ctrl_cost_weight,
            reset_noise_scale=reset_noise_scale,
            exclude_current_positions_from_observation=exclude_current_positions_from_observation,
        )
