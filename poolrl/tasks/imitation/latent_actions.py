"""Actions that the frozen decoder of an agent makes of latent variables."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray

from poolrl import files
from poolrl.errors import UsageError
from poolrl.frozen_decoder import FrozenDecoder
from poolrl.tasks.base import Ids
from poolrl.tasks.imitation.base import SENSORS, TOUCH_SENSORS, BodyTask
from poolrl.tasks.imitation.rodent import ROOT_BODY
from poolrl.tasks.registry import REGISTRY, keyword_arguments, task_class

_BODY = {
    "xml_file": "",
    "root_body": ROOT_BODY,
    "sensors": SENSORS,
    "touch_sensors": TOUCH_SENSORS,
}
"""Arguments of tasks with the rat's proprioception."""


class LatentActions:
    """Plays the mean actions of a decoder, whose memory is empty at the start of each episode
    (Merel et al., *Neural probabilistic motor primitives for humanoid control*, ICLR 2019).

    Args:
        path: of the agent, which has been trained on a task with the same rat.
        num_simulations: number of simulations.
        options: arguments of the task that the body depends on.
        limit: largest absolute value of a latent variable.

    Raises:
        UsageError: the file is not an agent's, the agent has no decoder, or it is one for another
            body; names file or argument.

    Attributes:
        space: of the actions.
        sha256: of the agent's file.
    """

    def __init__(
        self, path: str, num_simulations: int, options: Mapping[str, Any], limit: float
    ) -> None:
        if not (np.isfinite(limit) and limit > 0):
            raise UsageError(f"task.kwargs.latent_range: expected more than 0, got {limit!r}")
        self._decoder = FrozenDecoder.load(path)
        self._path = path
        self._require_body(options)
        self.sha256 = hashlib.sha256(files.read_plain(path, files.AGENT)).hexdigest()
        self.space = Box(-limit, limit, (self._decoder.latent_size,), np.float32)
        self._state = self._decoder.initial_state(num_simulations)
        self._starts = np.ones(num_simulations, np.bool_)

    def start(self, ids: Ids) -> None:
        """Begin new episodes in these simulations."""
        self._starts[ids] = True

    def actions(
        self, latent: NDArray[Any], proprioception: NDArray[np.float64], ids: Ids | None
    ) -> NDArray[np.float32]:
        """Return the decoder's mean actions, (num_simulations, actuators).

        Args:
            latent: (num_simulations, latent variables).
            proprioception: (num_simulations, size).
            ids: simulations whose memory advances; ``None`` for all.
        """
        senses = proprioception[:, self._decoder.columns]
        action, after = self._decoder.act(latent, senses, self._state, self._starts)
        if ids is None:
            self._state = after
            self._starts[:] = False
        else:
            self._state = tuple(part.copy() for part in self._state)
            for part, new in zip(self._state, after, strict=True):
                part[ids] = new[ids]
            self._starts[ids] = False
        return action

    def require_sizes(self, actuators: int, proprioception: int) -> None:
        """Check the sizes of the body.

        Args:
            actuators: their number.
            proprioception: numbers that the body senses of itself.

        Raises:
            UsageError: the decoder has others; names the file.
        """
        if self._decoder.action_size != actuators:
            raise self._another(f"{self._decoder.action_size} actions, not {actuators}")
        if (self._decoder.columns >= proprioception).any():
            raise self._another(
                f"its decoder sees more than the {proprioception} values of proprioception"
            )

    def _require_body(self, options: Mapping[str, Any]) -> None:
        world = self._decoder.world
        known = world.id in REGISTRY and issubclass(task_class(world.id), BodyTask)
        if not known:
            raise self._another(f"it was trained on {world.id}, which is no task with the rat")
        if world.mask_velocities or world.action_repeat != 1:
            raise self._another("it was trained with mask_velocities or action_repeat")
        if world.kwargs.get("decoder"):
            raise self._another("its actions are latent variables of another decoder")
        defaults = {n: p.default for n, p in keyword_arguments(task_class(world.id)).items()}
        for name, expected in {**_BODY, **options}.items():
            theirs = world.kwargs.get(name, defaults.get(name, expected))
            if theirs != expected:
                raise self._another(f"it was trained with {name} = {theirs!r}, not {expected!r}")

    def _another(self, how: str) -> UsageError:
        return UsageError(f"task.kwargs.decoder: {os.fspath(self._path)}: of another body: {how}")
