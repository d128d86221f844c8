"""Plain files of a pool's folders: nothing is listed or removed through a link."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from poolrl.storage.plain_files import StoreError, plain_files, remove_files


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "pool" / "iterations" / "000001"
    folder.mkdir(parents=True)
    (folder / "one").write_bytes(b"abc")
    (folder / "two").write_bytes(b"")
    (folder / "link").symlink_to(tmp_path / "precious")
    (folder / "folder").mkdir()
    (tmp_path / "precious").write_bytes(b"precious")
    return tmp_path / "pool"


def test_files_are_listed_and_removed_and_nothing_else(root: Path) -> None:
    folder = "iterations/000001"
    assert {name: file.size for name, file in plain_files(root, folder).items()} == {
        "one": 3,
        "two": 0,
    }
    assert remove_files(root, folder, ["one", "link", "folder", "absent"]) == ["one"]
    left = {path.name for path in (root / folder).iterdir()}
    assert left == {"two", "link", "folder"}
    assert (root.parent / "precious").read_bytes() == b"precious"


def test_the_pool_itself_may_be_a_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "shortcut").symlink_to(root)
    assert remove_files(tmp_path / "shortcut", "iterations/000001", ["one"]) == ["one"]


@pytest.mark.parametrize("linked", ["iterations", "iterations/000001"])
def test_a_folder_that_is_a_link_is_left_alone(root: Path, tmp_path: Path, linked: str) -> None:
    path = root / linked
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    for call in (plain_files, lambda *args: remove_files(*args, ["one"])):
        with pytest.raises(StoreError, match=f"{path}: a symbolic link"):
            call(root, "iterations/000001")
    assert len(list(tmp_path.joinpath("elsewhere").rglob("one"))) == 1


def test_no_folder_holds_nothing(root: Path) -> None:
    assert plain_files(root, "iterations/000009") == {}
    assert remove_files(root, "workers", ["one"]) == []


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "../precious"])
def test_names_that_lead_elsewhere_are_no_names(root: Path, name: str) -> None:
    with pytest.raises(ValueError, match="no name in a folder"):
        remove_files(root, "iterations/000001", [name])
    if name not in (".", ""):
        with pytest.raises(ValueError, match="no name"):
            remove_files(root, "iterations/../..", ["precious"])


def test_a_folder_that_cannot_be_closed_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(b"")
    close = os.close

    def refuse(descriptor: int) -> None:
        close(descriptor)  # on Linux it is gone all the same
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    monkeypatch.setattr(os, "close", refuse)
    assert remove_files(tmp_path, ".", ["a"]) == ["a"]
    assert not (tmp_path / "a").exists()
