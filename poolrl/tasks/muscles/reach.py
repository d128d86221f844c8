"""Reach with a body of muscles: bring a fingertip to where a posture of the body has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import mujoco
import numpy as np
from numpy.typing import NDArray

from poolrl.config.types import Aggregate
from poolrl.errors import UsageError
from poolrl.tasks.base import Ids, Info
from poolrl.tasks.mujoco.base import Part, norm
from poolrl.tasks.muscles.base import MuscleTask
from poolrl.tasks.muscles.excitation import FATIGUE_RATES
from poolrl.tasks.muscles.models import TARGET, load_body, load_own, point

REWARDS = ("dense", "sparse")


class Reach(MuscleTask):
    """Bring a fingertip to a target that the body can reach, and hold it there.

    The target is the position of the tip at a posture that is drawn at reset, uniformly over the
    ranges of the joints that follow no other joint, without collisions. The observation is that of
    ``MuscleTask``, then the positions of tip and target and the way from the target to the tip, in
    m. An episode is a success once the tip is closer to the target than ``tolerance``.

    Dense rewards are -distance in m + 1 within the tolerance, and episodes end at the time limit
    alone. Sparse ones are -1, and 10 for a success, which ends the episode, as in the humanreacher
    of DEP-RL (Schumacher et al., ICLR 2023). Both are less ``effort_weight`` times the effort.

    Args:
        num_simulations: number of episodes that are simulated side by side.
        model: with muscles and a target, as of ``load_body`` and ``load_own``.
        tip: name of a site or body.
        tolerance: in m.
        reward: "dense" or "sparse".
        effort_weight: cost of an effort of 1, of all muscles fully active.
        random_start: begin at a posture that is drawn as that of the target is, rather than near
            the start posture.
        options: of ``MuscleTask``.

    Raises:
        UsageError: an argument is out of range, or the model has no such tip.

    Attributes:
        target: (num_simulations, 3), in m; live.
        distance: (num_simulations,): from tip to target in m, after the last step.
    """

    info_aggregates: Mapping[str, Aggregate] = MappingProxyType(
        {"success": "max", "distance": "last", "effort": "mean", "fatigue": "last"}
    )
    start_posture: ClassVar[Mapping[str, float]] = {}
    """Joint -> initial position, in rad or m, where it is not the model's."""

    def __init__(
        self,
        num_simulations: int,
        *,
        model: mujoco.MjModel,
        tip: str,
        tolerance: float = 0.04,
        reward: str = "dense",
        effort_weight: float = 0.0,
        random_start: bool = False,
        **options: Any,
    ) -> None:
        if reward not in REWARDS:
            known = ", ".join(REWARDS)
            raise UsageError(f"task.kwargs.reward: unknown reward {reward!r}; known: {known}")
        if tolerance <= 0:
            raise UsageError(f"task.kwargs.tolerance: expected more than 0, got {tolerance!r}")
        self._tip_field, self._tip_index = point(model, tip)
        self._tolerance = tolerance
        self._is_sparse = reward == "sparse"
        self._effort_weight = effort_weight
        self._random_start = random_start
        self.distance = np.full(num_simulations, np.inf)
        super().__init__(num_simulations, model=model, **options)
        self._start = self.postures.complete(self._start_qpos())

    def observed(self) -> list[Part]:
        self.tip: NDArray[np.float64] = self.batch.bind(self._tip_field)[:, self._tip_index]
        mocap = int(self.model.body_mocapid[self.model.body(TARGET).id])
        self.target: NDArray[np.float64] = self.batch.bind("mocap_pos")[:, mocap]
        self._error = np.zeros((self.num_simulations, 3))
        goal: list[Part] = [(self.tip, False), (self.target, False), (self._error, False)]
        return super().observed() + goal

    def refresh(self) -> None:
        super().refresh()
        np.subtract(self.tip, self.target, out=self._error)

    def draw_state(
        self, generator: np.random.Generator
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        if self._random_start:
            qpos = self.postures.draw(generator)
        else:
            qpos = self.postures.near(self._start, self._reset_noise_scale, generator)
        return qpos, np.zeros(self.model.nv)

    def reset(self, ids: Ids, generators: Sequence[np.random.Generator]) -> None:
        drawn = [self.postures.draw(generator) for generator in generators]
        field = self._tip_field
        tips = [self.postures.positions(qpos, field)[self._tip_index] for qpos in drawn]
        self.target[ids] = tips
        super().reset(ids, generators)

    def set_state(self, ids: Ids, qpos: NDArray[np.float64], qvel: NDArray[np.float64]) -> None:
        """As of ``MujocoTask``; targets stay."""
        targets = self.target[ids].copy()
        super().set_state(ids, qpos, qvel)
        self.target[ids] = targets

    def reward(self, action: NDArray[Any]) -> NDArray[np.float64]:
        self.distance = norm(self._error)
        success = self.distance < self._tolerance
        dense = success - self.distance
        reward: NDArray[np.float64] = np.where(success, 10.0, -1.0) if self._is_sparse else dense
        return self.less_effort(reward, self._effort_weight)

    def terminated(self) -> NDArray[np.bool_]:
        if self._is_sparse:
            return self.distance < self._tolerance
        return super().terminated()

    def reward_terms(self) -> Info:
        success = (self.distance < self._tolerance).astype(np.float64)
        return {"success": success, "distance": self.distance, **super().reward_terms()}

    def _start_qpos(self) -> NDArray[np.float64]:
        qpos: NDArray[np.float64] = self.model.qpos0.copy()
        for name, value in self.start_posture.items():
            qpos[self.model.joint(name).qposadr] = value
        return qpos


class BodyReach(Reach):
    """Reach with a body of myo-sim; a subclass names body and tip."""

    body: ClassVar[str]
    tip_name: ClassVar[str]

    def __init__(
        self,
        num_simulations: int,
        *,
        max_episode_steps: int = 100,
        frame_skip: int = 10,
        excitation: str = "direct",
        reward: str = "dense",
        tolerance: float = 0.04,
        effort_weight: float = 0.0,
        random_start: bool = False,
        reset_noise_scale: float = 0.02,
        force_scale: float = 1.0,
        noise: tuple[float, float] = (0.0, 0.0),
        fatigue: bool = False,
        fatigue_rates: tuple[float, float, float] = FATIGUE_RATES,
        initial_fatigue: float = 0.0,
    ) -> None:
        super().__init__(
            num_simulations,
            model=load_body(self.body, tip=self.tip_name),
            tip=self.tip_name,
            max_episode_steps=max_episode_steps,
            frame_skip=frame_skip,
            excitation=excitation,
            reward=reward,
            tolerance=tolerance,
            effort_weight=effort_weight,
            random_start=random_start,
            reset_noise_scale=reset_noise_scale,
            force_scale=force_scale,
            noise=noise,
            fatigue=fatigue,
            fatigue_rates=fatigue_rates,
            initial_fatigue=initial_fatigue,
        )


class ElbowReach(BodyReach):
    """Reach with an elbow: six muscles of myo-sim move one joint, to bring the wrist to a target.

    A control step takes 0.02 s. The arguments are those of ``Reach`` and ``MuscleTask``.
    """

    body, tip_name = "myoelbow", "wrist"


class FingerReach(BodyReach):
    """Reach with an index finger: five muscles of myo-sim move four joints, to bring its tip to a
    target.

    A control step takes 0.02 s. The arguments are those of ``Reach`` and ``MuscleTask``.
    """

    body, tip_name = "myofinger", "IFtip"


class ArmReach(BodyReach):
    """Reach with an arm and hand: 63 muscles of myo-sim move 38 joints, of which 11 follow others,
    to bring the tip of the index finger to a target.

    A control step takes 0.02 s. Episodes begin with the upper arm a little raised and the elbow
    bent. The arguments are those of ``Reach`` and ``MuscleTask``.
    """

    body, tip_name = "myoarm_r", "IFtip_r"
    # At the model's own posture the upper arm is 1 cm within the thorax.
    start_posture: ClassVar[Mapping[str, float]] = {"shoulder_elv_r": 0.6, "elbow_flexion_r": 1.2}


class OwnReach(Reach):
    """Reach with a model of one's own, all of whose actuators are muscles.

    Episodes begin near the model's keyframe ``keyframe``, or near its own posture. The other
    arguments are those of ``Reach`` and ``MuscleTask``; ``xml_file`` and ``tip`` must be given.
    """

    def __init__(
        self,
        num_simulations: int,
        *,
        max_episode_steps: int = 300,
        xml_file: str = "",
        tip: str = "",
        keyframe: str = "",
        frame_skip: int = 5,
        excitation: str = "direct",
        reward: str = "dense",
        tolerance: float = 0.04,
        effort_weight: float = 0.0,
        random_start: bool = False,
        reset_noise_scale: float = 0.02,
        force_scale: float = 1.0,
        noise: tuple[float, float] = (0.0, 0.0),
        fatigue: bool = False,
        fatigue_rates: tuple[float, float, float] = FATIGUE_RATES,
        initial_fatigue: float = 0.0,
    ) -> None:
        model = load_own(xml_file)
        names = [model.key(i).name for i in range(model.nkey)]
        if keyframe and keyframe not in names:
            known = ", ".join(filter(None, names)) or "none"
            raise UsageError(
                f"task.kwargs.keyframe: the model has no keyframe {keyframe!r}; known: {known}"
            )
        self._keyframe = names.index(keyframe) if keyframe else -1
        super().__init__(
            num_simulations,
            model=model,
            tip=tip,
            max_episode_steps=max_episode_steps,
            frame_skip=frame_skip,
            excitation=excitation,
            reward=reward,
            tolerance=tolerance,
            effort_weight=effort_weight,
            random_start=random_start,
            reset_noise_scale=reset_noise_scale,
            force_scale=force_scale,
            noise=noise,
            fatigue=fatigue,
            fatigue_rates=fatigue_rates,
            initial_fatigue=initial_fatigue,
        )

    def _start_qpos(self) -> NDArray[np.float64]:
        if self._keyframe >= 0:
            qpos: NDArray[np.float64] = self.model.key_qpos[self._keyframe].copy()
            return qpos
        return super()._start_qpos()
