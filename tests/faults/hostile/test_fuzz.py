"""The fuzzer: no input makes poolrl fail in another way than with one line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def fuzz(inputs: int, tmp_path: Path) -> dict[str, Any]:
    """In a process of its own, since a hook on what a process does stays for ever."""
    command = [
        sys.executable,
        "-m",
        "tests.faults.fuzz",
        "--json",
        "--keep",
        str(tmp_path / "kept"),
    ]
    said = subprocess.run(
        [*command, "--inputs", str(inputs), "--seed", "1"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
        check=False,
    )
    assert said.stdout, said.stderr
    report: dict[str, Any] = json.loads(said.stdout.splitlines()[-1])
    return report


def test_a_sample_of_hostile_inputs(tmp_path: Path) -> None:
    report = fuzz(500, tmp_path)
    assert report["inputs"] >= 500
    assert not report["failures"], "\n\n".join(report["failures"])
    assert {code for *_, code, _ in report["counts"]} >= {"0", "2", "4"}


@pytest.mark.full
def test_ten_thousand_hostile_inputs(tmp_path: Path) -> None:
    report = fuzz(10_000, tmp_path)
    print(report["inputs"], "hostile inputs in", report["seconds"], "s")
    assert report["inputs"] >= 10_000
    assert not report["failures"], "\n\n".join(report["failures"])
