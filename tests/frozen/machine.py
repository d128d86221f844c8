"""What the bits of a result depend on besides poolrl itself: versions, processor, BLAS kernel.

Assets of this folder record it; a test compares bits where it is the same, else to a tolerance.
poolrl's own version is no part of it: every later version must give the same bits.
"""

from __future__ import annotations

import os
import platform
import warnings
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_info

PACKAGES = ("mujoco", "numpy", "gymnasium", "scipy")

SETTINGS = ("MKL_CBWR", "NPY_DISABLE_CPU_FEATURES", "OPENBLAS_CORETYPE", "ATEN_CPU_CAPABILITY")
"""Environment variables that change the bits of matrix products or of functions of arrays."""


@cache
def machine() -> dict[str, str]:
    """The identification of this machine, as it is stored in the assets."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "none"
    found["system"] = f"{platform.system()} {platform.machine()}"
    found["cpu"] = _cpu()
    found["blas_kernel"] = _blas_kernel()
    found["numpy_simd"] = _numpy_simd()
    return found | {name: os.environ.get(name, "none") for name in SETTINGS}


def is_recorded(recorded: Mapping[str, str]) -> bool:
    """Whether this machine is the one that an asset was made on; warns of what differs."""
    here = machine()
    different = [
        f"{name}: {recorded.get(name, 'none')} there, {here.get(name, 'none')} here"
        for name in sorted({*recorded, *here})
        if recorded.get(name, "none") != here.get(name, "none")
    ]
    if different:
        _warn("compared to a tolerance, not to the bit; " + "; ".join(different))
    return not different


@cache
def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=3)


def _cpu() -> str:
    """The processor's model name."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _blas_kernel() -> str:
    """The kernels that NumPy's BLAS chose for this processor, or for OPENBLAS_CORETYPE."""
    libraries = [each for each in threadpool_info() if each["user_api"] == "blas"]
    # Other packages may have loaded a BLAS of their own.
    own = [each for each in libraries if "numpy" in each["filepath"]] or libraries
    kernels = {f"{each['internal_api']} {each.get('architecture', 'unknown')}" for each in own}
    return ", ".join(sorted(kernels)) or "unknown"


def _numpy_simd() -> str:
    """The processor's features that NumPy was built to use and found: the model name does not tell
    them, since virtual machines show one name for several generations."""
    extensions = np.show_config(mode="dicts")["SIMD Extensions"]
    return " ".join(extensions.get("found", ())) or "none"
