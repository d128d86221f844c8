"""Reading of untrusted files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


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
