"""Tab completion, as a shell asks for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from poolrl.config.run_options import RunOptions
from poolrl.pool.directory import make_pool
from tests.conftest import tiny_spec


def completed(words: str, folder: Path) -> list[str]:
    """What bash would offer for the last word."""
    program = (
        "import sys; sys.argv[0] = 'poolrl'; from poolrl.cli.main import main; code = main(); "
        "assert not {'torch', 'mujoco', 'pandas'} & sys.modules.keys(); sys.exit(code)"
    )
    request = {
        "_POOLRL_COMPLETE": "bash_complete",
        "COMP_WORDS": f"poolrl {words}",
        "COMP_CWORD": str(len(words.split(" "))),
    }
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | request | {"PYTHONPATH": str(Path(__file__).parents[2])},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("completion")
    for name in ("one", "two"):
        make_pool(folder / "pools" / name, tiny_spec(), RunOptions())
    (folder / "swim.safetensors").write_bytes(b"")
    return folder


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("re", ["plain,render"]),
        ("run --task Half", ["plain,HalfCheetah-v5"]),
        ("run --task ./", ["file,./"]),
        ("run --set run.video", ["plain,run.video_every="]),
        ("run --set selection.p", ["plain,selection.patience="]),
        ("run --set learner.clip_range=", [""]),
        ("tasks Hopp", ["plain,Hopper-v5"]),
        ("clips syn", ["plain,synthesize"]),
        ("clips convert --to f", ["plain,flat"]),
        ("status ", ["plain,pools/one", "plain,pools/two"]),
        ("history pools/o", ["plain,pools/one"]),
        ("history elsewhere", ["dir,elsewhere"]),
        ("worker --pool-directory pools/t", ["plain,pools/two"]),
        ("evaluate s", ["plain,swim.safetensors"]),
        ("render pools/", ["plain,pools/one", "plain,pools/two"]),
    ],
)
def test_what_is_offered(folder: Path, words: str, offered: list[str]) -> None:
    assert completed(words, folder) == offered


def test_keys_are_those_that_can_be_set(folder: Path) -> None:
    keys = completed("run --set ", folder)
    assert len(keys) == len(set(keys)) > 80
    for key in ("pool.seed", "task.id", "network.name", "learner.name", "learner.clip_range"):
        assert f"plain,{key}=" in keys
    assert "plain,branches.learning_rate=" in keys
