"""What a result depends on besides the specification: versions, processor, BLAS settings."""

from __future__ import annotations

import os
import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from poolrl._version import __version__

PACKAGES = ("mujoco", "numpy", "torch", "gymnasium", "scipy")

SETTINGS = ("MKL_CBWR", "OPENBLAS_CORETYPE", "ATEN_CPU_CAPABILITY")
"""Environment variables that change the bits of matrix products."""


@cache
def versions() -> dict[str, str]:
    """Names and versions; a package that is not installed is left out."""
    found = {"poolrl": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    found["system"] = f"{platform.system()} {platform.machine()}"
    found["cpu"] = _cpu()
    found |= {name: os.environ[name] for name in SETTINGS if name in os.environ}
    return found


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
