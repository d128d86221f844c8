"""Commands of SLURM's that note what they are called with, for the handling of arguments alone; the
real ones are in tests/slurm."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

NOTE = """\
#!{python}
import json, os, pathlib, sys
here = pathlib.Path(__file__).parent
calls = here / "calls"
given = sys.stdin.read() if os.path.basename(__file__) == "sbatch" else ""
with open(calls, "a") as file:
    file.write(json.dumps([os.path.basename(__file__), *sys.argv[1:], given]) + "\\n")
answers = here / (os.path.basename(__file__) + ".answers")
lines = answers.read_text().splitlines() if answers.exists() else []
answer = json.loads(lines[0]) if lines else {{}}
if len(lines) > 1:
    answers.write_text("\\n".join(lines[1:]))
sys.stdout.write(answer.get("out", ""))
sys.stderr.write(answer.get("err", ""))
sys.exit(answer.get("code", 0))
"""


class Fakes:
    """A folder with fake commands, to be first on the PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        for name in ("sbatch", "squeue", "scancel", "scontrol"):
            path = folder / name
            path.write_text(NOTE.format(python=sys.executable))
            path.chmod(0o755)
        self.answer("sbatch", *({"out": f"{job};private\n"} for job in range(101, 121)))

    @property
    def path(self) -> str:
        """A PATH with these, and without real ones."""
        return f"{self.folder}{os.pathsep}{Path(sys.executable).parent}"

    def answer(self, name: str, *answers: dict[str, Any]) -> None:
        """What a command says, call by call; the last answer stays."""
        text = "\n".join(json.dumps(answer) for answer in answers)
        (self.folder / f"{name}.answers").write_text(text)

    def calls(self, name: str) -> list[list[str]]:
        """The arguments of each call, the last one being what was piped in."""
        noted = self.folder / "calls"
        lines = noted.read_text().splitlines() if noted.exists() else []
        return [call[1:] for line in lines if (call := json.loads(line))[0] == name]
