"""One thread per process for the libraries that do linear algebra.

Results must not depend on how many cores a machine has, and the matrices are small.
"""

from __future__ import annotations

import os

VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
"""Environment variables that OpenMP and the BLAS libraries read when they are loaded."""


def use_single_thread() -> None:
    """Limit OpenMP and BLAS to one thread in this process and in the processes that it starts.

    Call it before NumPy, SciPy or torch is imported: they read the variables once.
    """
    os.environ.update(dict.fromkeys(VARIABLES, "1"))
