"""MPO as a learner: it improves, and goes on from an agent's file, which has its whole state."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from numpy.testing import assert_allclose

from poolrl import tasks
from poolrl.agent import Agent
from poolrl.algorithms.averaging import check_averages, mean_agent
from poolrl.algorithms.off_policy import check_replay
from poolrl.algorithms.training import initial_agent, train
from poolrl.algorithms.types import Training
from poolrl.config.loading import load
from poolrl.config.mpo import MPO
from poolrl.errors import Divergence, UsageError
from poolrl.rollouts.evaluation import evaluate
from poolrl.rollouts.sampler import Budget
from poolrl.seeding import Purpose, Streams
from poolrl.tasks import Task
from tests.helpers.counting_task import Counting

KEYS: dict[str, Any] = {
    "task.id": "Plateau-v0",
    "network.actor": [16],
    "network.critic": [16],
    "learner.name": "mpo",
    "learner.batch_size": 32,
    "learner.batches": 4,
    "learner.update_interval": 16,
    "learner.warmup_steps": 40,
    "learner.replay_start": 40,
    "learner.learning_rate": 3e-3,
    "learner.critic_learning_rate": 3e-3,
    "learner.target_rate": 0.05,
    "learner.discount": 0.5,
}


def make(episodes: int) -> Task:
    return tasks.make("Plateau-v0", min(episodes, 8), max_episode_steps=10)


def setting(**keys: object) -> tuple[MPO, Agent]:
    """Hyper-parameters and a new agent; keys of the learner."""
    spec, _ = load(None, KEYS | {f"learner.{name}": value for name, value in keys.items()})
    assert isinstance(spec.learner, MPO)
    return spec.learner, initial_agent(spec, make(1), Streams(0))


def trained(agent: Agent, hp: MPO, *, episodes: int = 16, branch: int = 0) -> Training:
    return train(agent, make, Budget(episodes=episodes), hp, Streams(0, (1, 0, branch)))


def score(agent: Agent) -> float:
    resets = Streams(99).generators(Purpose.EVALUATE_RESET, 0, 64)
    return float(evaluate(agent.policy, make(64), resets).returns.mean())


def test_it_improves() -> None:
    hp, agent = setting()
    result = trained(agent, hp, episodes=200)
    assert score(result.agent) > score(agent) + 3  # of at most 10
    assert len(result.returns) == 200
    assert result.environment_steps == result.agent.metadata.environment_steps == 2000
    # Chunks of 16 steps on 4 simulations, without those of the warm-up, of 16 each.
    assert result.updates == result.agent.metadata.updates == 125 - 2
    assert result.agent.metadata.learner == "mpo"


def test_a_file_in_between_changes_nothing() -> None:
    hp, agent = setting(normalize_returns=True, muscles=1, energy_threshold=1.0)
    first = trained(agent, hp).agent
    direct, reread = (
        trained(each, hp).agent for each in (first, Agent.from_bytes(first.to_bytes()))
    )
    assert direct.to_bytes() == reread.to_bytes()
    assert direct.arrays["learner/energy_score"] != first.arrays["learner/energy_score"] != 0
    steps = direct.arrays["optimizer/dual.mean/step"], first.arrays["optimizer/dual.mean/step"]
    assert steps[0] > steps[1] > 0


@pytest.mark.parametrize("key", ["normalize_returns", "action_penalty", "return_steps", "muscles"])
def test_each_option_changes_what_is_learned(key: str) -> None:
    hp, agent = setting()
    given: dict[str, Any] = {key: 2 if key in ("return_steps", "muscles") else not getattr(hp, key)}
    other = replace(hp, **given, energy_threshold=-1000.0)
    assert trained(agent, other).agent.to_bytes() != trained(agent, hp).agent.to_bytes()


def test_the_weight_of_the_energy_cost_adapts_within_a_branch() -> None:
    hp, agent = setting(muscles=1, energy_threshold=-1000.0)
    result = trained(agent, hp)
    assert result.metrics["train/energy_weight"] > 0
    never = trained(agent, replace(hp, energy_threshold=1e9))
    assert never.metrics["train/energy_weight"] == 0


def test_extremes_of_rewards_bound_the_values() -> None:
    hp, agent = setting(normalize_returns=True)
    arrays = dict(agent.arrays) | {"learner/reward_max": np.array(7.0)}
    after = trained(Agent(arrays, agent.metadata), hp).agent.arrays
    assert after["learner/reward_max"] == 7.0  # larger than any reward of the task
    assert -10 < after["learner/reward_min"] < -1


def test_uniform_actions_come_before_the_first_update() -> None:
    hp, agent = setting(warmup_steps=10_000)
    result = trained(agent, hp)
    assert result.updates == 0
    for name, array in agent.arrays.items():
        if not name.startswith("normalizer."):
            np.testing.assert_array_equal(result.agent.arrays[name], array)
    assert result.agent.arrays["normalizer.count"] == 160
    # A line that has the steps behind it goes on with its policy.
    metadata = replace(agent.metadata, environment_steps=10_000)
    later = trained(Agent(agent.arrays, metadata), replace(hp, replay_start=10_000))
    assert later.updates == 0
    assert later.returns != result.returns


def test_a_budget_of_steps_ends_with_the_episodes_in_progress() -> None:
    hp, agent = setting(simulations=8)
    result = train(agent, make, Budget(steps=25), hp, Streams(0, (1, 0, 0)))
    assert result.environment_steps == 80
    assert len(result.returns) == 8


def test_divergence_is_raised() -> None:
    hp, agent = setting()
    arrays = dict(agent.arrays)
    arrays["critic.2.bias"] = np.full_like(arrays["critic.2.bias"], np.nan)
    with pytest.raises(Divergence, match="not finite"):
        trained(Agent(arrays, agent.metadata), hp)


def test_a_replay_that_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    hp, agent = setting(replay_window=0)
    with pytest.raises(UsageError, match="not one for each of 4 simulations"):
        trained(agent, replace(hp, replay_size=3))
    monkeypatch.setattr("poolrl.rollouts.room.available_memory", lambda: 1000)
    message = r"learner.replay_size: .* takes .* kB, but 1.0 kB of memory are free"
    with pytest.raises(UsageError, match=message):
        trained(agent, hp)


def test_a_replay_takes_what_its_budget_can_fill(monkeypatch: pytest.MonkeyPatch) -> None:
    hp, agent = setting(replay_window=1, simulations=10)
    spec, _ = load(None, KEYS)
    # 22 bytes a transition, and where all episodes are of one step, as much for its end.
    monkeypatch.setattr("poolrl.rollouts.room.available_memory", lambda: 22 * 2 * 100_200)
    check_replay(agent, Budget(steps=100_000), hp, spec.task, None)
    check_replay(agent, Budget(episodes=10_000), hp, spec.task, None)
    with pytest.raises(UsageError, match="MB of memory are free"):
        check_replay(agent, Budget(steps=101_000), hp, spec.task, None)


@settings(max_examples=30, deadline=None)
@given(
    simulations=st.integers(1, 6),
    limit=st.integers(1, 9),
    number=st.integers(1, 30),
    seed=st.integers(0, 99),
    by_steps=st.booleans(),
)
def test_a_shared_replay_keeps_all_that_is_sampled(
    simulations: int, limit: int, number: int, seed: int, by_steps: bool
) -> None:
    spec, _ = load(None, KEYS | {"learner.replay_window": 1, "learner.warmup_steps": 10_000})
    assert isinstance(spec.learner, MPO)
    hp = replace(spec.learner, simulations=simulations)
    agent = initial_agent(spec, Counting(1, limit), Streams(0))
    budget = Budget(steps=number) if by_steps else Budget(episodes=number)
    result = train(agent, lambda n: Counting(n, limit), budget, hp, Streams(seed))
    assert result.transitions is not None
    assert int(result.transitions.has_action.sum()) == result.environment_steps
    episodes = len(result.returns)
    assert len(result.transitions.reward) == result.environment_steps + episodes


def test_means_of_agents() -> None:
    hp, agent = setting(normalize_returns=True)
    branches = [trained(agent, hp, branch=i).agent for i in range(2)]
    check_averages(agent, normalized_values=False)
    extremes = [
        {"learner/reward_min": np.array(-1.0 - i), "learner/reward_max": np.array(2.0 - i)}
        for i in range(2)
    ]
    branches = [
        Agent({**each.arrays, **given}, each.metadata)
        for each, given in zip(branches, extremes, strict=True)
    ]
    mean = mean_agent(agent, branches, [0.5, 0.5], step=2.0)
    mean.check()
    assert mean.arrays["learner/reward_min"] == -2.0
    assert mean.arrays["learner/reward_max"] == 2.0
    for name, factor in (("target.critic.0.weight", 2.0), ("dual.mean", 1.0)):
        start, first, second = (each.arrays[name] for each in (agent, *branches))
        expected = start + factor * ((first + second) / 2 - start)
        assert_allclose(mean.arrays[name], expected, rtol=1e-5, atol=1e-6)


def test_an_agent_acts_with_its_mean_and_without_torch(tmp_path: Path) -> None:
    hp, agent = setting()
    agent = trained(agent, hp).agent
    path = tmp_path / "agent.safetensors"
    path.write_bytes(agent.to_bytes())
    code = (
        "import sys; sys.modules['torch'] = None; import numpy as np; import poolrl\n"
        f"print(poolrl.load({str(path)!r}).act(np.full(2, 0.5)).tolist())"
    )
    size = agent.metadata.observation_space.shape[0]
    code = code.replace("np.full(2,", f"np.full({size},")
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    x = agent.policy.normalized(np.full((1, size), 0.5))
    for i in (0, 2):
        x = x @ agent.arrays[f"actor.{i}.weight"].T + agent.arrays[f"actor.{i}.bias"]
        x = np.maximum(x, 0) if i == 0 else x
    mean = np.tanh(x[0, : x.shape[1] // 2])
    assert_allclose(np.array(eval(ran.stdout)), mean, rtol=1e-5)


@pytest.mark.torch
def test_a_critic_of_actions_is_no_module_with_values() -> None:
    _, agent = setting()
    with pytest.raises(UsageError, match="critic of actions has no value"):
        agent.module()


def test_more_muscles_than_observed_values_are_refused() -> None:
    with pytest.raises(UsageError, match=r"learner\.muscles: 3, but 2 values are observed"):
        setting(muscles=3)


@pytest.mark.parametrize("task", ["Switches-v0", "CartPole-v1"])
def test_tasks_with_choices_are_refused(task: str) -> None:
    spec, _ = load(None, KEYS | {"task.id": task})
    with (
        tasks.closing(tasks.make(spec.task, 1), spec.task) as made,
        pytest.raises(UsageError, match="mpo is for continuous actions"),
    ):
        initial_agent(spec, made, Streams(0))
