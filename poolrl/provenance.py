"""What determines the last bits of a result besides the specification: versions, CPU, BLAS."""

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
    """Name -> version of packages, interpreter, CPU and BLAS.

    A package that is not installed is left out, and so is ``blas_kernel`` where threadpoolctl finds
    no BLAS. ``blas`` is the library that NumPy was built with, ``blas_kernel`` the code that it has
    chosen for this CPU.
    """
    found = {"poolrl": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    found["system"] = f"{platform.system()} {platform.machine()}"
    found["cpu"] = _cpu()
    found["blas"] = _blas()
    if kernel := _blas_kernel():
        found["blas_kernel"] = kernel
    found |= {name: os.environ[name] for name in SETTINGS if name in os.environ}
    return found


def differences(made_with: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Compare this machine with the one that made a pool.

    Args:
        made_with: ``versions()`` of that machine. A name that it lacks, as in a pool of an older
            poolrl, does not count; a variable of ``SETTINGS`` does. Nor does a package that is not
            installed here: what needs it cannot run.

    Returns:
        Name -> (there, here) of what differs.
    """
    here = versions()
    known = [*made_with, *(name for name in SETTINGS if name in here and name not in made_with)]
    names = [
        name
        for name in known
        if made_with.get(name) != here.get(name) and (name in here or name not in PACKAGES)
    ]
    return {name: (made_with.get(name, "none"), here.get(name, "none")) for name in names}


def _blas() -> str:
    import numpy as np

    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return f"{blas['name']} {blas['version']}"


def _blas_kernel() -> str | None:
    """The kernel of NumPy's BLAS, such as ``SkylakeX``; ``None`` where none is found."""
    import numpy as np
    from threadpoolctl import threadpool_info

    kernels = {
        Path(library["filepath"]): str(library["architecture"])
        for library in threadpool_info()
        if library["user_api"] == "blas" and library.get("architecture")
    }
    # SciPy brings a BLAS of its own, which may be loaded already or not.
    packages = Path(np.__file__).resolve().parent.parent
    bundled = [packages / "numpy.libs", packages / "numpy" / ".dylibs"]
    of_numpy = [path for path in kernels if path.parent in bundled]
    chosen = min(of_numpy or kernels, default=None)
    return kernels[chosen] if chosen is not None else None


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
