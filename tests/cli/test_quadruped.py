"""The quadruped's configurations, as a user runs them."""

from __future__ import annotations

import json
from pathlib import Path

from tests.helpers.command_line import poolrl
from tests.tasks.mujoco.anymal import write_scene

CONFIGS = Path(__file__).parent.parent.parent / "configs"
TINY = [
    *("--pool-count", "2", "--iterate-episodes", "2", "--evaluate-episodes", "2"),
    *("--iterations", "2", "--workers", "1"),
    *("--set", "pool.closing_episodes=2", "--set", "task.max_episode_steps=50"),
]


def test_a_walker_goes_on_before_the_step(tmp_path: Path) -> None:
    config = str(CONFIGS / "quadruped.toml")
    said = poolrl("run", config, "--pool-directory", "flat", *TINY, cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    agent = next(line for line in said.stdout.splitlines() if line.startswith("agent:"))
    config = str(CONFIGS / "quadruped_step.toml")
    walker = ["--from-agent", agent.split()[1]]
    said = poolrl("run", config, *walker, "--pool-directory", "step", *TINY, cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    assert "ended after iteration 2" in said.stdout


def test_anymal_c_is_trained_from_a_path(tmp_path: Path) -> None:
    config = str(CONFIGS / "anymal_c.toml")
    missing = poolrl("run", config, "--pool-directory", "pool", *TINY, cwd=tmp_path)
    assert missing.returncode == 2
    assert missing.stderr.count("\n") == 1
    for word in ("task.kwargs.xml_file", "mujoco_menagerie/anybotics_anymal_c/scene.xml", "clone"):
        assert word in missing.stderr
    assert not (tmp_path / "pool").exists()

    given = ["--set", f"task.kwargs.xml_file={write_scene(tmp_path)}"]
    said = poolrl("run", config, *given, "--pool-directory", "pool", *TINY, cwd=tmp_path)
    assert said.returncode == 0, said.stderr


def test_variants_and_drawn_values_travel_with_the_agent(tmp_path: Path) -> None:
    given = [
        *("--set", "task.randomize.body_mass.scale=[0.8,1.2]"),
        *("--set", "task.action_repeat=2", "--set", "task.mask_velocities=true"),
    ]
    config = str(CONFIGS / "quadruped.toml")
    said = poolrl("run", config, *given, "--pool-directory", "pool", *TINY, cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    assert "2 episodes on reserved seeds" in said.stdout
    said = poolrl("evaluate", "pool", "--episodes", "2", "--json", cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    assert json.loads(said.stdout)["mean_length"] <= 25
    wrong = ["--set", "task.randomize.body_mas.scale=[0.8,1.2]"]
    said = poolrl("run", config, *wrong, "--pool-directory", "new", *TINY, cwd=tmp_path)
    assert said.returncode == 2
    assert "task.randomize.body_mas: unknown field of the model; did you mean" in said.stderr
    assert said.stderr.count("\n") == 1
