"""What a result depends on besides the specification: versions, processor, BLAS settings."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from poolrl._version import __version__

PACKAGES = ("mujoco", "numpy", "torch", "gymnasium", "scipy")

SETTINGS = ("MKL_CBWR", "NPY_DISABLE_CPU_FEATURES", "OPENBLAS_CORETYPE", "ATEN_CPU_CAPABILITY")
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
    found["blas"] = _blas()
    found |= {name: os.environ[name] for name in SETTINGS if name in os.environ}
    return found


def differences(made_with: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Name -> (there, here) of what differs between this machine and the one that made a pool."""
    here = versions()
    known = [*made_with, *(name for name in SETTINGS if name in here and name not in made_with)]
    names = [name for name in known if made_with.get(name) != here.get(name)]
    return {name: (made_with.get(name, "none"), here.get(name, "none")) for name in names}


def _blas() -> str:
    import numpy as np

    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return f"{blas['name']} {blas['version']}"


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
