"""Versions, CPU and BLAS of a machine, and what differs between two."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
import threadpoolctl

from poolrl.provenance import differences, versions


@pytest.fixture(autouse=True)
def uncached() -> Iterator[None]:
    versions.cache_clear()
    yield
    versions.cache_clear()


def found(*libraries: dict[str, str]) -> object:
    return lambda: list(libraries)


def library(path: str, kernel: str | None = "Haswell", api: str = "blas") -> dict[str, str]:
    return {"filepath": path, "user_api": api} | ({"architecture": kernel} if kernel else {})


@pytest.mark.torch
def test_the_kernel_is_that_of_numpys_blas() -> None:
    code = "from poolrl.provenance import versions; print(versions().get('blas_kernel'))"
    printed = [
        subprocess.run(
            [sys.executable, "-c", before + code], capture_output=True, text=True, check=True
        ).stdout
        for before in ("", "import scipy.linalg, torch; ")  # which may bring a BLAS of their own
    ]
    assert printed[0] == printed[1] == f"{versions().get('blas_kernel')}\n"


@pytest.mark.parametrize(
    "libraries",
    [
        [],
        [library("/lib/libgomp.so", None, "openmp")],
        [library("/lib/libmkl_rt.so", None)],
    ],
)
def test_without_a_kernel_the_key_is_left_out(
    monkeypatch: pytest.MonkeyPatch, libraries: list[dict[str, str]]
) -> None:
    monkeypatch.setattr(threadpoolctl, "threadpool_info", found(*libraries))
    assert "blas_kernel" not in versions()
    assert "blas" in versions()


def test_a_blas_of_the_system_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threadpoolctl, "threadpool_info", found(library("/lib/libopenblas.so")))
    assert versions()["blas_kernel"] == "Haswell"


def test_another_kernel_differs_and_a_pool_without_one_does_not() -> None:
    made_with = versions() | {"blas_kernel": "Another"}
    here = versions().get("blas_kernel", "none")
    assert differences(made_with) == {"blas_kernel": ("Another", here)}
    old = {name: value for name, value in versions().items() if name != "blas_kernel"}
    assert differences(old) == {}
    assert differences(versions()) == {}


def test_a_variable_that_changes_the_bits_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    made_with = versions()
    versions.cache_clear()
    monkeypatch.setenv("NPY_DISABLE_CPU_FEATURES", "AVX2")
    assert differences(made_with) == {"NPY_DISABLE_CPU_FEATURES": ("none", "AVX2")}
