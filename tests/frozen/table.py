"""Every frozen configuration, made small, and the champions of its first two iterations.

    python -m tests.frozen.table            # configuration, SHA-256 of champions 1 and 2
    python -m tests.frozen.table swimmer    # of these alone
    python -m tests.frozen.table > after.txt; diff before.txt after.txt

It uses the poolrl of the checkout that it lies in.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.frozen.command import as_options, champions, merges, succeed, tensors_sha256

CONFIGURATIONS = Path(__file__).parent / "configurations"
CHAMPIONS = CONFIGURATIONS / "champions.json"
ITERATIONS = 2

SMALL = {
    "pool.count": 2,
    "pool.evaluate_episodes": 2,
    "pool.closing_episodes": 2,
}
"""Keys that are set in every configuration."""

OLD_MEANINGS = {
    "network.normalizer_precision": "single",
    "learner.normalize_values": False,
    "learner.standardize_single": True,
}
"""What the configurations meant when they were frozen, and no longer mean in new pools."""

OLD_PPO = OLD_MEANINGS | {"learner.gradient_clipping": "joint"}
"""The same for PPO."""

BY_EPISODES = OLD_PPO | {
    "pool.iterate_episodes": 4,
    "task.max_episode_steps": 30,
    "learner.episodes_per_update": 2,
    "learner.minibatch_size": 20,
    "learner.epochs": 3,
}
"""Two updates of three minibatches in each branch."""

BY_STEPS = OLD_PPO | {
    "pool.iterate_steps": 128,
    "task.max_episode_steps": 40,
    "task.max_simulations": 4,
    "learner.segment_steps": 16,
    "learner.minibatch_size": 32,
    "learner.epochs": 2,
}
"""Two updates of two minibatches in each branch."""

REINFORCE = OLD_MEANINGS | {
    "pool.iterate_episodes": 3,
    "task.max_episode_steps": 30,
    "learner.minibatch_size": 20,
}

KEYS: dict[str, dict[str, Any]] = {
    "ant": BY_STEPS | {"task.max_episode_steps": 12},
    "anymal_c": BY_EPISODES,
    "half_cheetah": BY_EPISODES | {"task.max_episode_steps": 15},
    "hopper": BY_STEPS,
    "inverted_double_pendulum": BY_STEPS,
    "quadruped": BY_EPISODES,
    "quadruped_step": BY_EPISODES,
    "swimmer": BY_EPISODES,
    "swimmer_reinforce": REINFORCE,
    "walker2d": BY_STEPS,
}
"""Configuration -> keys that are set besides SMALL."""

MODELS = {"anymal_c": "anymal_c_scene.xml"}
"""Configuration -> file of its model in this folder. An agent's header has the model's path, so
for these the SHA-256 is that of the tensors; see ``tensors_sha256``."""


def arguments(name: str) -> list[str]:
    """The command line of a configuration, without the pool's directory."""
    words = ["run", str(CONFIGURATIONS / f"{name}.toml"), "--one-worker"]
    words += ["--iterations", str(ITERATIONS), *as_options(SMALL | KEYS[name])]
    if name in MODELS:
        words += ["--set", f"task.kwargs.xml_file={CONFIGURATIONS / MODELS[name]}"]
    return words


def train(name: str, folder: Path) -> dict[str, Any]:
    """Run a configuration in a folder.

    Returns:
        ``measure``: of what the SHA-256 are, the champions' ``file`` or their ``tensors``.
        ``sha256`` and ``score``: of the champions, from iteration 1 on.
    """
    pool = folder / name
    succeed(*arguments(name), "--pool-directory", pool, cwd=folder)
    found = champions(pool)
    numbers = [str(iteration) for iteration in range(1, ITERATIONS + 1)]
    assert list(found) == ["0", *numbers]
    sha256 = [found[number]["sha256"] for number in numbers]
    if name in MODELS:
        paths = [pool / merge["champion"]["path"] for merge in merges(pool).values()]
        sha256 = [tensors_sha256(path) for path in paths[1:]]
    return {
        "measure": "tensors" if name in MODELS else "file",
        "sha256": sha256,
        "score": [found[number]["score"] for number in numbers],
    }


def train_all(names: list[str] | None = None) -> dict[str, dict[str, Any]]:
    """Run configurations, all of them by default, in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        return {name: train(name, Path(folder)) for name in names or KEYS}


def main() -> None:
    """Print the table, and which rows differ from what is stored."""
    stored = json.loads(CHAMPIONS.read_text())["champions"] if CHAMPIONS.exists() else {}
    different = []
    for name in sys.argv[1:] or KEYS:
        row = train_all([name])[name]
        print(f"{name:<25} {row['sha256'][0]} {row['sha256'][1]}", flush=True)
        if row["sha256"] != stored.get(name, {}).get("sha256"):
            different.append(name)
    said = f"differ from champions.json: {', '.join(different)}" if different else "as stored"
    print(said, file=sys.stderr)


if __name__ == "__main__":
    main()
