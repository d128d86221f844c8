"""`[learner] name = "mpo"`: its network, what does not go with it, and the schema of its pools."""

from __future__ import annotations

from pathlib import Path

import pytest

from poolrl.config.loading import load
from poolrl.config.mpo import MPO
from poolrl.config.networks import QMLPSpec
from poolrl.config.run_options import RunOptions
from poolrl.errors import UsageError
from poolrl.launch.cores import simulations
from poolrl.launch.disk_use import disk_line, disk_use
from poolrl.pool.directory import make_pool
from tests.conftest import as_options
from tests.helpers.agents import new_agent
from tests.helpers.command_line import in_process

MINE = {"learner.name": "mpo", "task.id": "Plateau-v0"}


@pytest.mark.parametrize("with_widths", [False, True])
def test_its_network_is_the_default(tmp_path: Path, with_widths: bool) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[learner]\nname = "mpo"\n' + "[network]\nactor = [8]\n" * with_widths)
    for spec in (load(None, MINE)[0], load(path)[0], load(path, {"network.name": "q_mlp"})[0]):
        assert isinstance(spec.network, QMLPSpec)
    assert load(path)[0].network.actor == ((8,) if with_widths else (256, 256))


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"network.name": "mlp"}, ["network.name: q_mlp is the network of learner.name = mpo"]),
        ({"learner.name": "ppo", "network.name": "q_mlp"}, ["got q_mlp and ppo"]),
        ({"network.distribution": "beta"}, ["network.distribution", "'beta'"]),
        ({"network.critic_senses": ["touch"]}, ["critic_senses"]),
        ({"network.shared": True}, ["network.shared", "unknown key"]),
        ({"merge.rule": "update"}, ["merge.rule = update", "mpo does not"]),
        ({"learner.discount": 1.0}, ["learner.discount", "< 1"]),
        ({"learner.return_steps": 0}, ["learner.return_steps", ">= 1"]),
        ({"learner.epsilon": 0.0}, ["learner.epsilon", "> 0"]),
        ({"learner.minibatch_size": 64}, ["learner.minibatch_size", "batch_size"]),
        ({"branches.normalize_returns": [True]}, ["normalize_returns", "tensors"]),
        ({"branches.replay_window": [9, 8]}, ["branches.replay_window", "share one window"]),
        ({"branches.epsilon": [0.1, -0.1]}, ["branches.epsilon", "> 0"]),
    ],
)
def test_what_does_not_go_with_it_is_one_line(keys: dict[str, object], words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        load(None, MINE | keys)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_branches_may_differ_in_its_values() -> None:
    keys = {"branches.epsilon": [0.1, 0.2], "branches.learning_rate": {"evolve": 0.5}}
    spec = load(None, MINE | keys)[0]
    second = spec.hyperparameters(1)
    assert isinstance(second, MPO)
    assert second.epsilon == 0.2
    assert spec.evolving == {"learning_rate": 3e-4}


def test_its_pools_are_of_schema_2(tmp_path: Path) -> None:
    pool = make_pool(tmp_path / "pool", load(None, MINE)[0], RunOptions())
    assert "schema = 2" in pool.layout.spec.read_text()


def test_sizes_are_those_of_a_trained_agent() -> None:
    spec = load(None, MINE | {"network.actor": [8], "network.critic": [8]})[0]
    agent = new_agent(learner__name="mpo", network__actor=[8], network__critic=[8])
    moments = sum(
        2 * array.nbytes
        for name, array in agent.arrays.items()
        if name.startswith(("actor.", "critic.", "dual."))
    )
    new = len(agent.to_bytes())
    assert new + moments < disk_use(spec, agent).agent < new + moments + 6000
    assert simulations(spec) == 10  # those of an evaluation
    few = load(None, MINE | {"pool.evaluate_episodes": 2, "learner.simulations": 3})[0]
    assert simulations(few) == 3


def test_the_window_of_a_shared_replay_is_said(tmp_path: Path) -> None:
    given = MINE  # of a million by default
    agent = new_agent(learner__name="mpo", network__actor=[8], network__critic=[8])
    line = disk_line(load(None, given)[0], RunOptions(), disk_use(load(None, given)[0], agent))
    assert line is not None
    # two numbers observed, two of an action, the reward, and two flags
    assert line.startswith("about 22.0 MB on disk for the shared replay by learner.replay_window")
    assert "22 bytes a transition" in line
    spec = load(None, given | {"merge.rule": "mean"})[0]
    both = disk_line(spec, RunOptions(), disk_use(spec, agent))
    assert both is not None
    assert both.endswith(line)
    assert "merge.rule = mean" in both
    none = load(None, MINE | {"learner.replay_window": 0})[0]
    assert disk_line(none, RunOptions(), disk_use(none, agent)) is None


def test_the_command_line_names_it(tmp_path: Path) -> None:
    keys = {
        "network.actor": [4],
        "network.critic": [4],
        "pool.count": 1,
        "pool.closing_episodes": 2,
        "learner.batches": 1,
        "learner.batch_size": 4,
        "learner.warmup_steps": 4,
        "learner.replay_start": 4,
    }
    words = ["run", "--learner", "mpo", "--iterations", "1", "--iterate-episodes", "2"]
    options = [*words, "--workers", "1", *as_options(keys)]
    done = in_process(*options, "--task", "Plateau-v0", "--pool-directory", "own", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert 'name = "q_mlp"' in (tmp_path / "own" / "pool.toml").read_text()
    refused = in_process(*options, "--task", "CartPole-v1", "--pool-directory", "no", cwd=tmp_path)
    assert refused.returncode == 2
    assert "learner.name: mpo is for continuous actions" in refused.stderr
    assert not (tmp_path / "no").exists()


def test_a_replay_without_room_is_refused_before_there_is_a_pool(tmp_path: Path) -> None:
    words = ["run", "--learner", "mpo", "--task", "Plateau-v0", "--pool-directory", "pool"]
    words += ["--iterate-steps", str(10**15), "--set", "learner.replay_size=1000000000"]
    words += ["--set", "task.kwargs.size=1000"]
    refused = in_process(*words, "--set", "learner.replay_window=0", cwd=tmp_path)
    assert refused.returncode == 2
    assert "size: a replay of 1,000,000,000 transitions takes 8006.0 GB, but" in refused.stderr
    refused = in_process(*words[:-4], "--set", "task.kwargs.size=1000", cwd=tmp_path)
    assert refused.returncode == 2
    assert "learner.replay_window: a replay of 2,000,000," in refused.stderr
    (tmp_path / "run.toml").write_text('[run]\nreplay_folder = "none"\n[learner]\nname = "mpo"\n')
    refused = in_process("run", "run.toml", "--pool-directory", "pool", cwd=tmp_path)
    assert refused.returncode == 2
    assert "run.replay_folder: none: No such file or directory" in refused.stderr
    assert not (tmp_path / "pool").exists()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ("replay_size=[1000,3]", "learner.replay_size: 3 transitions are not one for each of 4"),
        ("muscles=[0,3]", "learner.muscles: 3, but 2 values are observed"),
        ("replay_size=[1000,900]", "replay_start: 1,000 transitions, which a replay of learner"),
        ("replay_size=[9000,900]", "9,000 transitions of a replay that ends with its branch, but"),
    ],
)
def test_what_one_branch_cannot_have_is_refused_before_there_is_a_pool(
    tmp_path: Path, values: str, words: str
) -> None:
    options = ["run", "--learner", "mpo", "--task", "Plateau-v0", "--iterate-episodes", "200"]
    options += ["--pool-count", "2", "--workers", "1", "--iterations", "0"]
    options += ["--set", "network.actor=[4]", "--set", f"branches.{values}"]
    window = 1 if "9000" in values else 0
    options += ["--set", f"learner.replay_window={window}"]
    refused = in_process(*options, "--pool-directory", "pool", cwd=tmp_path)
    assert refused.returncode == 2
    assert words in refused.stderr
    assert not (tmp_path / "pool").exists()


def test_the_folder_of_replays_does_not_depend_on_where_a_run_goes_on(tmp_path: Path) -> None:
    (tmp_path / "replays").mkdir()
    keys = {
        "learner.name": "mpo",
        "network.actor": [4],
        "network.critic": [4],
        "pool.count": 1,
        "pool.iterate_episodes": 2,
        "pool.evaluate_episodes": 1,
        "pool.closing_episodes": 1,
        "learner.warmup_steps": 10_000,
        "run.replay_folder": "replays",
    }
    words = ["run", "--task", "Plateau-v0", "--pool-directory", "pool", "--iterations", "1"]
    done = in_process(*words, "--workers", "1", *as_options(keys), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    words = ["run", "--pool-directory", "../pool", "--iterations", "2", "--workers", "1"]
    done = in_process(*words, cwd=elsewhere)
    assert done.returncode == 0, done.stderr
