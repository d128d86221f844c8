"""Record what the published MPO computes: `mpo.npz`, which tests compare poolrl's with.

deprl 0.5.0 (MIT; its copy of tonic) is needed once, to make the file, and never to test:

    python -m venv venv
    venv/bin/pip install torch==2.13.0 gymnasium numpy pandas pyyaml matplotlib termcolor
    venv/bin/pip install --no-deps --ignore-requires-python deprl==0.5.0
    venv/bin/python tests/algorithms/published_mpo/make.py

Three cases of small networks: `plain`; `retnorm` with the normalised returns of `mpo_args`;
`clipped` with clipped gradients. Of each: two updates on one batch each, with the samples that they
drew, their losses, their gradients and all variables afterwards.
"""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

# deprl imports these where it is imported; neither takes part in learning.
sys.modules["gym"] = gymnasium
sys.modules["gdown"] = types.ModuleType("gdown")
sys.modules["myosuite"] = types.ModuleType("myosuite")
sys.modules["myosuite.utils"] = types.ModuleType("myosuite.utils")
sys.modules["myosuite.utils"].gym = gymnasium  # type: ignore[attr-defined]

import torch  # noqa: E402
from deprl.custom_mpo_torch import TunedMPO  # noqa: E402
from deprl.custom_replay_buffers import AdaptiveEnergyBuffer  # noqa: E402
from deprl.vendor.tonic import logger, replays  # noqa: E402
from gymnasium.spaces import Box  # noqa: E402

logger.store = lambda *_, **__: None  # it would open a folder of results

OBSERVATION, ACTION, BATCH, HIDDEN, SAMPLES, UPDATES = 5, 3, 8, 8, 20, 2
CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "retnorm": {"retnorm": True},
    "clipped": {"grad_clip_actor": 0.05, "grad_clip_critic": 0.05},
}


def case(name: str, arguments: dict[str, Any]) -> dict[str, np.ndarray]:
    torch.manual_seed(sum(map(ord, name)))
    rng = np.random.default_rng(sum(map(ord, name)))
    agent = TunedMPO()
    agent.set_params(hidden_size=HIDDEN, **arguments)
    box = Box(-1.0, 1.0, (ACTION,), np.float32)
    agent.initialize(Box(-np.inf, np.inf, (OBSERVATION,), np.float32), box, seed=0)
    model, actor_updater = agent.model, agent.actor_updater
    # deprl passes the actor's normaliser in place of another argument, so that it has none.
    for actor in (model.actor, model.target_actor):
        actor.encoder.observation_normalizer = model.observation_normalizer
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        model.observation_normalizer._mean.copy_(torch.randn(OBSERVATION))
        model.observation_normalizer._std.copy_(torch.rand(OBSERVATION) + 0.5)
        actor_updater.log_temperature.fill_(0.3)
        actor_updater.log_penalty_temperature.fill_(-0.7)
        actor_updater.log_alpha_mean.copy_(torch.randn(ACTION))
        actor_updater.log_alpha_std.copy_(torch.randn(ACTION))
        actor_updater.log_alpha_std[0] = -20.0  # beneath the floor
        if model.return_normalizer is not None:
            model.return_normalizer.record(np.array([-2.5, 3.0], np.float32))
            model.return_normalizer.update()
    out: dict[str, np.ndarray] = {}

    def keep(label: str, value: Any) -> None:
        array = value.detach().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
        out[f"{name}/{label}"] = array.copy()

    keep("normalizer.mean", model.observation_normalizer._mean)
    keep("normalizer.std", model.observation_normalizer._std)
    if model.return_normalizer is not None:
        keep("low", model.return_normalizer._low)
        keep("high", model.return_normalizer._high)
    keep_variables(keep, "before", model, actor_updater)
    seen: list[torch.Tensor] = []
    model.target_critic.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[1]))
    for number in range(UPDATES):
        batch = {
            "observations": rng.standard_normal((BATCH, OBSERVATION)).astype(np.float32),
            "actions": rng.standard_normal((BATCH, ACTION)).astype(np.float32),
            "next_observations": rng.standard_normal((BATCH, OBSERVATION)).astype(np.float32),
            "rewards": rng.standard_normal(BATCH).astype(np.float32),
            "discounts": (0.99 * (rng.random(BATCH) > 0.2)).astype(np.float32),
        }
        tensors = {key: torch.as_tensor(value) for key, value in batch.items()}
        for key, value in batch.items():
            keep(f"{number}/{key}", value)
        seen.clear()
        with torch.no_grad():
            targets = [
                model.target_actor(tensors[k]) for k in ("next_observations", "observations")
            ]
        infos = agent._update_actor_critic(**tensors)
        for key, actions, target in zip(("next", "own"), seen, targets, strict=True):
            samples = actions.view(SAMPLES, BATCH, ACTION)
            keep(f"{number}/noise/{key}", (samples - target.loc) / target.scale)
        for part, info in infos.items():
            for key, value in info.items():
                keep(f"{number}/{part}/{key}", value)
        keep_variables(keep, f"{number}/gradient", model, actor_updater, gradient=True)
    keep_variables(keep, "after", model, actor_updater)
    return out


def keep_variables(
    keep: Any, label: str, model: Any, actor_updater: Any, *, gradient: bool = False
) -> None:
    """Keep networks and dual variables, or their gradients, under poolrl's names."""
    duals = {
        "temperature": actor_updater.log_temperature,
        "penalty_temperature": actor_updater.log_penalty_temperature,
        "mean": actor_updater.log_alpha_mean,
        "std": actor_updater.log_alpha_std,
    }
    for key, value in duals.items():
        keep(f"{label}/dual.{key}", value.grad if gradient else value)
    prefixes = {"": ""} if gradient else {"": "", "target.": "target_"}
    for own, theirs in prefixes.items():
        actor, critic = getattr(model, f"{theirs}actor"), getattr(model, f"{theirs}critic")
        heads = [actor.head.loc_layer[0], actor.head.scale_layer[0]]
        for part, torso in (("actor", actor.torso), ("critic", critic.torso)):
            layers = [layer for layer in torso.model if isinstance(layer, torch.nn.Linear)]
            for i, layer in enumerate(layers):
                for kind in ("weight", "bias"):
                    value = getattr(layer, kind)
                    keep(f"{label}/{own}{part}.{2 * i}.{kind}", value.grad if gradient else value)
        for kind in ("weight", "bias"):
            both = [getattr(head, kind) for head in heads]
            value = torch.cat([each.grad if gradient else each for each in both])
            keep(f"{label}/{own}actor.4.{kind}", value)
            value = getattr(critic.head.v_layer, kind)
            keep(f"{label}/{own}critic.4.{kind}", value.grad if gradient else value)


WORKERS, STEPS = 3, 500
"""Of the replay: 500 steps of three environments."""


def replay() -> dict[str, np.ndarray]:
    """What buffers of 3-step and 5-step returns hold after the same 500 steps."""
    rng = np.random.default_rng(5)
    buffers = {n: replays.Buffer(size=WORKERS * STEPS, return_steps=n) for n in (3, 5)}
    for buffer in buffers.values():
        buffer.initialize(0)
    given: dict[str, list[np.ndarray]] = {}
    observation = rng.standard_normal((WORKERS, 1)).astype(np.float32)
    for _ in range(STEPS):
        terminations = rng.random(WORKERS) < 0.03
        resets = terminations | (rng.random(WORKERS) < 0.03)
        after = rng.standard_normal((WORKERS, 1)).astype(np.float32)
        row = {
            "observations": observation,
            "actions": rng.standard_normal((WORKERS, 1)).astype(np.float32),
            "next_observations": after,
            "rewards": rng.standard_normal(WORKERS).astype(np.float32),
            "resets": resets,
            "terminations": terminations,
        }
        for key, value in row.items():
            given.setdefault(key, []).append(value)
        for buffer in buffers.values():
            buffer.store(**row)
        fresh = rng.standard_normal((WORKERS, 1)).astype(np.float32)
        observation = np.where(resets[:, None], fresh, after)
    out = {f"replay/{key}": np.array(value) for key, value in given.items()}
    for n, buffer in buffers.items():
        for key in ("next_observations", "rewards", "discounts"):
            out[f"replay/{n}/{key}"] = buffer.buffers[key]
    return out


def energy() -> dict[str, np.ndarray]:
    """The adaptive weight of the energy cost over 60 episodes, and the cost of one batch."""
    rng = np.random.default_rng(7)
    buffer = AdaptiveEnergyBuffer(num_acts=4)
    scores = 1000 + 900 * np.sin(np.arange(60) / 4) + 50 * rng.standard_normal(60)
    held = []
    for score in scores:
        buffer.adjust(score)
        held.append([buffer.action_cost, buffer.lr, buffer.cdt_avg, buffer.score_avg])
    next_observations = rng.random((16, 6)).astype(np.float32)
    rewards = rng.standard_normal(16).astype(np.float32)
    batch = {"next_observations": next_observations, "rewards": rewards.copy()}
    relabelled = buffer._relabel_batch(batch, None, None)["rewards"]
    return {
        "energy/scores": scores,
        "energy/held": np.array(held),
        "energy/next_observations": next_observations,
        "energy/rewards": rewards,
        "energy/relabelled": relabelled,
    }


if __name__ == "__main__":
    arrays: dict[str, np.ndarray] = {}
    for each, given_arguments in CASES.items():
        arrays |= case(each, given_arguments)
    arrays |= replay() | energy()
    np.savez_compressed(Path(__file__).with_name("mpo.npz"), **arrays)
