"""HalfCheetah and a task of one bit, paid in other units: the score must not depend on the unit.

    python benchmarks/reward_scale.py [--seeds 3] [--steps 200000] [--output FILE]

Each score is divided by its unit. `joint` is what pools did before: actor's and critic's gradients
clipped together, values as they are; `separate` clips them apart, and `normalised` also normalises
the values, which new pools do. HalfCheetah has one branch an iteration, and the deterministic
champion's closing score of 20 episodes; the bit (see a sign, choose it, 20 steps) has random
actions.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

UNITS = (1e-3, 1.0, 1e3, 1e6)

WAYS = {
    "joint": ("gradient_clipping=joint", "normalize_values=false"),
    "separate": ("gradient_clipping=separate", "normalize_values=false"),
    "normalised": ("gradient_clipping=separate", "normalize_values=true"),
}

SIGN = """
import gymnasium as gym, numpy as np
class Sign(gym.Env):
    action_space = gym.spaces.Discrete(2)
    observation_space = gym.spaces.Box(-1, 1, (1,), np.float32)
    def __init__(self, unit=1.0): self.unit = unit
    def draw(self):
        self.sign = self.np_random.choice([-1.0, 1.0])
        return np.array([self.sign], np.float32)
    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        return self.draw(), {}
    def step(self, action):
        reward = self.unit * (action == (self.sign > 0))
        return self.draw(), reward, False, False, {}
"""


def options(keys: dict[str, Any]) -> list[str]:
    """Keys as ``--set`` on a command line."""
    return [word for key, value in keys.items() for word in ("--set", f"{key}={json.dumps(value)}")]


def bit(learner: str, unit: float) -> list[str]:
    """Options of the task of one bit."""
    keys: dict[str, Any] = {"pool.count": 2, "pool.iterate_episodes": 32, "learner.name": learner}
    keys |= {"task.id": "sign.py:Sign", "task.kwargs.unit": unit, "task.max_episode_steps": 20}
    keys |= {"evaluation.deterministic": False, "pool.closing_episodes": 50}
    if learner == "reinforce":
        keys["learner.learning_rate"] = 1e-2
    return ["--task", "sign.py:Sign", "--iterations", "6", *options(keys)]


def cheetah(steps: int, unit: float) -> list[str]:
    """Options of HalfCheetah, whose weights of reward and cost make the unit."""
    keys: dict[str, Any] = {
        "pool.count": 1,
        "pool.iterate_episodes": 8,
        "task.id": "HalfCheetah-v5",
    }
    keys |= {"task.kwargs.forward_reward_weight": unit, "task.kwargs.ctrl_cost_weight": 0.1 * unit}
    keys |= {"pool.evaluate_episodes": 1, "pool.closing_episodes": 20, "learner.epochs": 8}
    keys |= {"learner.minibatch_size": 500, "learner.episodes_per_update": 4}
    keys |= {"learner.learning_rate": 1e-3}
    return ["--iterations", str(steps // 8000), *options(keys)]


def score(words: list[str], way: str, seed: int, unit: float, folder: Path) -> float:
    """Train a pool; the closing evaluation's mean return in its unit."""
    settings = WAYS[way][1:] if 'learner.name="reinforce"' in words else WAYS[way]
    sets = [word for each in settings for word in ("--set", f"learner.{each}")]
    with tempfile.TemporaryDirectory(dir=folder) as pool:
        place = Path(pool) / "pool"
        command = [sys.executable, "-m", "poolrl", "run", "--pool-directory", str(place)]
        command += ["--one-worker", "--seed", str(seed), *words, *sets]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        (record,) = place.glob("iterations/*/closing-000.json")
        returns = json.loads(record.read_text())["evaluation"]["returns"]
    return statistics.fmean(returns) / unit


@click.command(help=__doc__)
@click.option("--seeds", default=3, show_default=True)
@click.option("--steps", default=200_000, show_default=True, help="Of HalfCheetah.")
@click.option("--output", type=click.Path(path_type=Path))
def main(seeds: int, steps: int, output: Path | None) -> None:
    """Run everything and print a table."""
    lines = ["| task | way | " + " | ".join(f"× {unit:g}" for unit in UNITS) + " |"]
    lines.append("|---|---|" + "---|" * len(UNITS))
    cases: dict[str, Any] = {
        "one bit, PPO": lambda unit: bit("ppo", unit),
        "one bit, REINFORCE": lambda unit: bit("reinforce", unit),
        "HalfCheetah-v5, PPO": lambda unit: cheetah(steps, unit),
    }
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "sign.py").write_text(SIGN)
        for name, words in cases.items():
            for way in WAYS if "REINFORCE" not in name else ("separate", "normalised"):
                row = []
                for unit in UNITS:
                    each = [score(words(unit), way, seed, unit, folder) for seed in range(seeds)]
                    row.append(f"{statistics.fmean(each):.4g} ({min(each):.4g} … {max(each):.4g})")
                lines.append(f"| {name} | {way} | " + " | ".join(row) + " |")
                print(lines[-1], flush=True)
    command = f"python benchmarks/reward_scale.py --seeds {seeds} --steps {steps}"
    text = (
        f"# The unit of the reward\n\n`{command}`: mean score in its unit, smallest and largest of "
    )
    text += f"{seeds} seeds.\n\n" + "\n".join(lines) + "\n"
    print(text)
    if output is not None:
        output.write_text(text)


if __name__ == "__main__":
    main()
