"""Untrusted files, and new ones."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from poolrl.files import replacing


def test_a_small_file_is_read_where_memory_is_small(tmp_path: Path) -> None:
    path = tmp_path / "agent"
    path.write_bytes(b"x" * 100_000)
    code = (
        "import resource, sys; from poolrl import files\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))\n"
        "print(len(files.read_plain(sys.argv[1], files.AGENT)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False
    )
    assert done.stdout == "100000\n", done.stderr


def test_a_new_file_is_whole_or_not_there(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_bytes(b"before")
    link.symlink_to(real)

    def failing() -> None:
        with replacing(link) as beside:
            beside.write_bytes(b"half")
            raise KeyError

    with pytest.raises(KeyError):
        failing()
    assert (real.read_bytes(), link.is_symlink()) == (b"before", True)
    with replacing(link) as beside:
        beside.write_bytes(b"after")
    assert (real.read_bytes(), link.is_symlink()) == (b"after", True)
    assert {path.name for path in tmp_path.iterdir()} == {"real", "link"}


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(OSError, match="something else than a plain file"):
            replacing(tmp_path / name).__enter__()
    assert {path.name for path in tmp_path.iterdir()} == {"pipe", "folder"}
    assert (tmp_path / "pipe").is_fifo()
