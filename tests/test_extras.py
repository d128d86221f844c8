"""What needs an extra that is not installed says in one line which one."""

from __future__ import annotations

from pathlib import Path

import pytest

from poolrl import extras
from poolrl.agent import Agent
from poolrl.config.run_options import RunOptions
from poolrl.errors import UsageError
from poolrl.pool.directory import make_pool
from poolrl.pool.stop_criteria import StopCriteria
from poolrl.worker.loop import Worker
from tests.conftest import tiny_spec
from tests.helpers.command_line import in_process
from tests.helpers.pools import champion_file, snapshot


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None)


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (("run", "--pool-directory", "new", "--network", "net.py:Net"), "torch"),
        (("run", "--pool-directory", "new", "--tensorboard"), "tensorboard"),
        (("log", "pool", "--tensorboard", "events"), "tensorboard"),
        (("render", "pool", "-o", "swim.mp4"), "video"),
        (("clips", "info", "clips.h5"), "clips"),
        (("activations", "a.h5", "--by-body", "errors.csv"), "clips"),
    ],
)
def test_a_command_names_its_extra(
    tmp_path: Path, bare: None, arguments: tuple[str, ...], extra: str
) -> None:
    make_pool(tmp_path / "pool", tiny_spec(), RunOptions())
    (tmp_path / "net.py").write_text("class Net: pass")
    before = snapshot(tmp_path)
    said = in_process(*arguments, cwd=tmp_path)
    assert (said.returncode, said.stdout) == (2, "")
    assert f"pip install 'poolrl[{extra}]'" in said.stderr
    assert said.stderr.count("\n") == 1
    assert snapshot(tmp_path) == before


def test_a_torch_module_names_its_extra(tmp_path: Path, bare: None) -> None:
    pool = make_pool(tmp_path / "pool", tiny_spec(), RunOptions(iterations=0))
    Worker(pool, StopCriteria(0)).run()
    agent = Agent.load(champion_file(pool.layout.root, 0))
    with pytest.raises(UsageError, match=r"module\(\) needs torch.*poolrl\[torch\]"):
        agent.module()
