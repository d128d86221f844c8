"""Which OpenGL backend is taken."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from poolrl.errors import UsageError
from poolrl.render import backend


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    backend._working_backend.cache_clear()
    yield
    backend._working_backend.cache_clear()


def of(monkeypatch: pytest.MonkeyPatch, working: set[str | None]) -> list[str | None]:
    """Let some backends work, and none of the others; returns a list of what is tried."""
    tried: list[str | None] = []

    def failure(name: str | None) -> str | None:
        tried.append(name)
        return None if name in working else "no driver"

    monkeypatch.setattr(backend, "_failure", failure)
    monkeypatch.setattr(sys, "platform", "linux")
    return tried


def test_egl_comes_before_osmesa_and_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    tried = of(monkeypatch, {"egl", "osmesa"})
    assert backend.working_backend() == "egl"
    assert backend.working_backend() == "egl"
    assert tried == ["egl"]


def test_osmesa_where_egl_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    of(monkeypatch, {"osmesa"})
    assert backend.working_backend() == "osmesa"


def test_the_users_choice_is_the_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    assert of(monkeypatch, {"egl", "osmesa"}) == []
    assert backend.working_backend() == "osmesa"
    monkeypatch.setenv("MUJOCO_GL", "glfw")
    with pytest.raises(UsageError, match=r"MUJOCO_GL=glfw cannot draw here \(no driver\)"):
        backend.working_backend()


def test_where_none_works_a_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    of(monkeypatch, set())
    with pytest.raises(UsageError, match="install EGL or OSMesa") as error:
        backend.working_backend()
    assert "\n" not in str(error.value)


def test_a_backend_that_does_not_exist_fails_in_a_process_of_its_own() -> None:
    reason = backend._failure("nonsense")
    assert reason is not None
    assert "invalid value for environment variable MUJOCO_GL" in reason
