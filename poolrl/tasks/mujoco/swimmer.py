"""Gymnasium's Swimmer-v5: three links in a viscous fluid that swim."""

from __future__ import annotations

from poolrl.tasks.mujoco.locomotion import Locomotion


class Swimmer(Locomotion):
    """The task of Coulom (2002) as Gymnasium defines it in ``Swimmer-v5``.

    The observation is (qpos without x and y, qvel), the reward the x velocity of the front tip
    over the control step less a control cost; episodes end only at the time limit. The keyword
    arguments are Gymnasium's.
    """

    axes = 2

    def __init__(
        self,
        num_simulations: int,
        *,
        max_episode_steps: int = 1000,
        xml_file: str = "swimmer.xml",
        frame_skip: int = 4,
        forward_reward_weight: float = 1.0,
        ctrl_cost_weight: float = 1e-4,
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
