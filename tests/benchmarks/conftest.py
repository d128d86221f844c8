"""Benchmarks are scripts: their modules are imported by name from their folder."""

from __future__ import annotations

import sys
from pathlib import Path

# Last, since names like `report` are common.
sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
