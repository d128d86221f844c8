"""The commands as functions."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tomli_w

import poolrl
from poolrl.config.branches import Evolve
from poolrl.config.loading import load
from poolrl.config.run_options import RunOptions
from poolrl.errors import IncompatiblePool, PoolrlError, UsageError
from poolrl.pool.directory import make_pool, open_pool
from poolrl.pool.stop_criteria import StopCriteria
from poolrl.worker.loop import Worker
from tests.conftest import TINY, tiny_spec
from tests.helpers.command_line import in_process
from tests.helpers.pools import champion_file, snapshot
from tests.helpers.rodents import IMITATING, write_worm
from tests.helpers.waiting import until

PROJECT = Path(__file__).parents[1]

OWN = """
from poolrl.tasks.identity import Plateau

class Own(Plateau):
    def __init__(self, num_simulations, *, max_episode_steps=4, span=None, text="", table=None):
        super().__init__(num_simulations, max_episode_steps=max_episode_steps)
"""


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> poolrl.Pool:
    root = tmp_path_factory.mktemp("api") / "pool"
    Worker(make_pool(root, tiny_spec(), RunOptions(iterations=2)), StopCriteria(2)).run()
    return poolrl.Pool(root)


def test_importing_is_fast() -> None:
    program = (
        "import sys, poolrl; "
        "sys.exit(bool({'numpy', 'msgspec', 'mujoco', 'pandas', 'torch'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_pool_reads_what_the_commands_print(pool: poolrl.Pool, tmp_path: Path) -> None:
    before = snapshot(pool.path)
    printed = in_process("history", pool.path, "--format", "csv", cwd=tmp_path).stdout
    assert pool.history().to_csv(index=False) == printed
    assert pool.status().state == "finished"
    last = champion_file(pool.path, 2).read_bytes()
    assert pool.champion().to_bytes() == pool.champion(2).to_bytes() == last
    assert pool.champion(0).to_bytes() == champion_file(pool.path, 0).read_bytes()
    assert pool.plot(tmp_path / "plot.svg").read_bytes().startswith(b"<?xml")
    assert pool.plot(tmp_path / "time.pdf", "time").read_bytes().startswith(b"%PDF")
    assert list(pool.log(tmp_path / "events").glob("*tfevents*"))
    assert snapshot(pool.path) == before
    with pytest.raises(UsageError, match="iterations 0 to 2"):
        pool.champion(3)
    with pytest.raises(UsageError, match="no such directory"):
        poolrl.Pool(tmp_path / "absent")


def test_evaluations_are_the_commands(pool: poolrl.Pool, tmp_path: Path) -> None:
    arguments = ("evaluate", pool.path, "--json", "--episodes", "5", "--seed", "3")
    printed = json.loads(in_process(*arguments, cwd=tmp_path).stdout)
    for agent in (pool, pool.path, str(champion_file(pool.path, 2)), pool.champion()):
        assert poolrl.evaluate(agent, episodes=5, seed=3).mean == printed["mean"]
    assert pool.evaluate(episodes=5, seed=3).ci95_low == printed["ci95_low"]
    with pytest.raises(UsageError, match="episodes=0"):
        pool.evaluate(episodes=0)


def test_a_video(tmp_path: Path, draws: None) -> None:
    spec = tiny_spec(task__id="InvertedPendulum-v5", task__max_episode_steps=3)
    Worker(make_pool(tmp_path / "pool", spec, RunOptions(iterations=0)), StopCriteria(0)).run()
    pool = poolrl.Pool(tmp_path / "pool")
    video = pool.video(tmp_path / "swim.gif", iterations="0", size=(64, 48), fps=10)
    assert video.read_bytes().startswith(b"GIF")
    with pytest.raises(UsageError, match="expected episodes >= 1 and seed >= 0, got episodes=0"):
        poolrl.Pool(tmp_path / "pool").video(video, episodes=0)


def test_activations_of_the_clips_and_of_others(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="needs poolrl[clips]")
    kwargs = write_worm(tmp_path, 12, 16)
    spec, _ = load(None, IMITATING | {"task.kwargs": kwargs, "pool.evaluate_episodes": 1})
    Worker(make_pool(tmp_path / "pool", spec, RunOptions(iterations=0)), StopCriteria(0)).run()
    pool = poolrl.Pool(tmp_path / "pool")
    with h5py.File(pool.activations(tmp_path / "a.h5")) as file:
        assert file["clip_names"].asstr()[:].tolist() == ["clip_0", "clip_1"]
    (tmp_path / "other").mkdir()
    other = write_worm(tmp_path / "other", 14)["clips"]
    clips = {"clips": other}
    with h5py.File(pool.activations(tmp_path / "b.h5", task_kwargs=clips)) as file:
        assert file["clip_names"].asstr()[:].tolist() == ["clip_0"]
    assert pool.evaluate(episodes=1).mean != pool.evaluate(episodes=1, task_kwargs=clips).mean
    with pytest.raises(UsageError, match="expected simulations >= 1, got simulations=0"):
        pool.activations(tmp_path / "c.h5", simulations=0)


def test_training(pool: poolrl.Pool, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    trained = poolrl.train(tmp_path / "pool", settings=TINY, iterations=1, workers=1)
    assert "ended after iteration 1" in capfd.readouterr().out
    again = poolrl.train(tmp_path / "pool", iterations=2, workers=1, quiet=True)
    assert capfd.readouterr().out == ""
    assert again.champion().to_bytes() == pool.champion().to_bytes()
    assert again.champion().to_bytes() != trained.champion(1).to_bytes()
    with pytest.raises(IncompatiblePool, match=r"pool\.seed") as refused:
        poolrl.train(tmp_path / "pool", settings={"pool": {"seed": 4}}, quiet=True)
    assert refused.value.exit_code == 4
    with pytest.raises(UsageError, match="Swimmer-v5"):
        poolrl.train(tmp_path / "new", task="Swimer-v5", quiet=True)
    assert not (tmp_path / "new").exists()
    with pytest.raises(TypeError, match="no option 'iteration'"):
        poolrl.train(tmp_path / "new", iteration=3)


def test_settings_arrive_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = {"learner": {"name": "climb"}, "branches": {"learning_rate": [0.1, 0.2]}}
    Path("-odd.toml").write_text(tomli_w.dumps(config))
    (tmp_path / "\U0001f40d.py").write_text(OWN)
    evolving = {"learning_rate": {"evolve": 0.5}}
    kwargs = {"span": (0.5, float("inf")), "text": "\U0001f40d", "table": {"a": {"b": 1}}}
    trained = poolrl.train(
        "pool",
        "-odd.toml",
        {key: TINY[key] for key in TINY if key.startswith("pool.")}
        | {"branches": evolving, "task": {"kwargs": kwargs}},
        task="\U0001f40d.py:Own",
        quiet=True,
        iterations=0,
        workers=1,
    )
    spec = open_pool(trained.path).spec
    assert spec.task.kwargs == kwargs | {"span": [0.5, float("inf")]}
    assert spec.branches == {"learning_rate": Evolve(0.5)}
    with pytest.raises(UsageError, match=r"^run\.replay_folder: PosixPath\('a'\) is nothing"):
        poolrl.train("pool", replay_folder=Path("a"))


def test_a_key_with_a_dot_and_an_option_that_is_not_set(tmp_path: Path) -> None:
    gravity = {"opt.gravity": {"add": [-0.3, 0.3]}}
    options: dict[str, Any] = {"iterations": 0, "workers": 1, "time_budget": None}
    settings = {"task": {"randomize": gravity}}
    trained = poolrl.train(tmp_path / "pool", settings=settings, quiet=True, **options)
    assert list(open_pool(trained.path).spec.task.randomize) == ["opt.gravity"]


def test_an_interrupt_ends_the_run(tmp_path: Path) -> None:
    program = (
        "import poolrl\n"
        f"try: poolrl.train('pool', settings={TINY!r}, iterations=10**6, workers=1)\n"
        "except KeyboardInterrupt: print('interrupted')\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as caller:
        until((tmp_path / "pool/iterations/000002/merge.json").exists)
        caller.send_signal(signal.SIGINT)
        out, _ = caller.communicate(timeout=60)
    assert out.endswith("interrupted\n")
    assert in_process("status", "pool", cwd=tmp_path).returncode == 0


def test_a_run_that_is_killed_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = "import os; print('iteration 1', flush=True); os.kill(os.getpid(), 9)"
    monkeypatch.setattr("poolrl.api.python_command", lambda _: [sys.executable, "-c", program])
    with pytest.raises(PoolrlError, match=r"^killed by signal 9$") as killed:
        poolrl.train(tmp_path / "pool", quiet=True)
    assert killed.value.exit_code == -9


def test_the_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    notebook = json.loads((PROJECT / "docs/python.ipynb").read_text())
    names: dict[str, object] = {}
    for cell in notebook["cells"]:
        assert cell.get("outputs", []) == []
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)  # as a kernel does, one cell after another
    pool = names["pool"]
    assert isinstance(pool, poolrl.Pool)
    assert (pool.path.parent / "pendulum.png").exists()
    assert isinstance(names["total"], float)
