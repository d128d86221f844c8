"""Keys of a small pool for every distribution, network and learner."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from poolrl.config.networks import ModuleSpec
from poolrl.networks.permissions import permit
from tests.helpers import user_networks


class Choices(gym.Env[Any, Any]):
    """Two choices a step, and a reward for the first one."""

    observation_space = gym.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gym.spaces.MultiDiscrete([2, 3])

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self._observation(), float(action[0]), False, False, {}

    def _observation(self) -> Any:
        return self.np_random.uniform(-1, 1, 2).astype(np.float32)


gym.register("Choices-v0", Choices, max_episode_steps=4)  # type: ignore[arg-type]

USER_FILE = Path(user_networks.__file__)

NORMALS = ("gaussian", "squashed_gaussian")

DISTRIBUTIONS: dict[str, dict[str, Any]] = {
    **{name: {"distribution": name} for name in ("beta", "discretized")},
    **{
        f"{name}, {std} σ": {"distribution": name, "std": std}
        for name in NORMALS
        for std in ("free", "network", "schedule")
    },
    "categorical": {},
    "several choices": {},
}

TASKS = {"categorical": "CartPole-v1", "several choices": "Choices-v0"}

NETWORKS: dict[str, dict[str, Any]] = {
    f"mlp{' shared' * shared}": {"actor": [5], "critic": [5], "shared": shared}
    for shared in (False, True)
}

NETWORKS |= {
    f"{cell}{' shared' * shared}": {
        "name": "recurrent",
        "cell": cell,
        "memory": 4,
        "actor": [5],
        "critic": [5],
        "shared": shared,
    }
    for cell in ("rnn", "gru", "lstm")
    for shared in (False, True)
}

NETWORKS["user's"] = {"name": "module", "source": f"{USER_FILE}:Plain"}

NETWORKS["user's with memory"] = {"name": "module", "source": f"{USER_FILE}:Bottleneck"}

LEARNERS: dict[str, dict[str, Any]] = {
    "ppo": {
        "minibatch_size": 4,
        "sequence_steps": 2,
        "epochs": 2,
        "adaptive_kl": 0.01,
        "scale_rewards": True,
        "value_clip_range": 0.2,
    },
    "reinforce": {"minibatch_size": 4, "sequence_steps": 2},
}


def keys_of(distribution: str, network: str, learner: str) -> dict[str, Any]:
    """Keys of a tiny pool's specification; a user's network is permitted."""
    keys: dict[str, Any] = {
        "task__id": TASKS.get(distribution, "Plateau-v0"),
        "learner__name": learner,
        "pool__count": 2,
        "learner__schedule_steps": 20,
    }
    options = NETWORKS[network] | DISTRIBUTIONS[distribution]
    if options.get("name") == "module":
        source = options["source"]
        permit(ModuleSpec(source=source), source)
        if "memory" in network:
            keys["learner__penalties"] = {"kl": 0.1}
    keys |= {f"network__{name}": value for name, value in options.items()}
    return keys | {f"learner__{name}": value for name, value in LEARNERS[learner].items()}
