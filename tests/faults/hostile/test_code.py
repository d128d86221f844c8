"""Agents and pools that name code do not run it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import poolrl
from poolrl import tasks
from poolrl.errors import UsageError
from poolrl.pool.directory import Pool
from tests.faults.hostile.agents import with_metadata
from tests.faults.hostile.inputs import CANARY

NAMES_OF_CODE = ["canary.py:Canary", "hostile_canary:CartPole-v1", "hostile_package.inner:Canary"]


@pytest.mark.parametrize("task_id", NAMES_OF_CODE)
def test_an_agent_or_a_pool_that_names_code(
    agent_bytes: bytes, pool: Pool, tmp_path: Path, task_id: str
) -> None:
    here = tmp_path / "here"
    (here / "hostile_package").mkdir(parents=True)
    for name in ("canary", "hostile_canary", "hostile_package/__init__", "hostile_package/inner"):
        (here / f"{name}.py").write_text(CANARY)
    (tmp_path / "agent").write_bytes(with_metadata(agent_bytes, task=task_id))
    text = pool.layout.spec.read_text()
    pool.layout.spec.write_text(text.replace('"Plateau-v0"', json.dumps(task_id)))
    shutil.rmtree(pool.layout.iterations)
    for arguments in (
        ["evaluate", str(tmp_path / "agent")],
        ["worker", "--pool-directory", str(pool.layout.root)],
        ["run", "--pool-directory", str(pool.layout.root)],
    ):
        said = subprocess.run(
            [sys.executable, "-m", "poolrl", *arguments],
            cwd=here,
            env=os.environ | {"PYTHONPATH": f"{here}:{Path(poolrl.__file__).parents[1]}"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert said.returncode == 2, said.stderr
        assert "must be named on the command line" in said.stderr
        assert said.stderr.count("\n") == 1
    assert not list(here.rglob("ran"))
    loaded = poolrl.load(tmp_path / "agent")
    assert loaded.act(np.zeros(2)).shape == (2,)
    with pytest.raises(UsageError, match="must be named"):
        tasks.make(loaded.metadata.world, 1)
