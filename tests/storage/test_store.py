"""The store and the claims on a real file system: fsync, hard links, errors, processes."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from poolrl.errors import UsageError
from poolrl.storage.claims import Claims
from poolrl.storage.plain_files import StoreError
from poolrl.storage.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def test_no_reader_sees_a_torn_file(tmp_path: Path, store: Store) -> None:
    big = os.urandom(3_000_000)
    seen: list[int] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            for name in store.names_in(tmp_path):
                if not name.startswith("."):
                    seen.append(len((tmp_path / name).read_bytes()))

    thread = threading.Thread(target=read)
    thread.start()
    for i in range(10):
        store.publish(tmp_path / f"{i}.safetensors", big)
    done.set()
    thread.join()
    assert seen
    assert set(seen) == {len(big)}


def test_exactly_one_of_many_processes_wins(tmp_path: Path, store: Store) -> None:
    code = (
        "import sys, time; from pathlib import Path; from poolrl.storage.store import Store\n"
        "while time.time() < float(sys.argv[2]): pass\n"
        "folder, data = Path(sys.argv[1]), sys.argv[3].encode()\n"
        "store = Store(folder)\n"
        "print([store.publish(folder / str(i), data) for i in range(20)])"
    )
    start = str(time.time() + 2)
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path), start, str(n)], stdout=subprocess.PIPE
        )
        for n in range(4)
    ]
    wins = [eval(racer.communicate()[0]) for racer in racers]
    assert [sum(won) for won in zip(*wins, strict=True)] == [1] * 20
    for i in range(20):
        winner = next(n for n in range(4) if wins[n][i])
        assert (tmp_path / str(i)).read_bytes() == str(winner).encode()


def test_a_file_system_without_hard_links_is_refused(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(StoreError, match="no hard links"):
        store.publish(tmp_path / "x", b"")
    assert os.listdir(tmp_path) == []


def test_a_name_that_comes_and_goes_is_no_success(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: object) -> None:
        raise FileExistsError(errno.EEXIST, "File exists")

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(StoreError, match=r"x: cannot write: File exists"):
        store.publish(tmp_path / "x", b"")
    assert os.listdir(tmp_path) == []


def test_a_passing_error_is_tried_again(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"here")
    real, failures = os.open, [errno.ESTALE, errno.EIO]

    def flaky(*arguments: Any) -> int:
        if failures:
            number = failures.pop()
            raise OSError(number, os.strerror(number))
        return real(*arguments)

    monkeypatch.setattr(os, "open", flaky)
    assert store.read(path) == b"here"


def test_what_an_fsync_refused_is_written_anew(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, failed = os.fsync, []

    def flaky(descriptor: int) -> None:
        if not failed:
            failed.append(os.fstat(descriptor).st_ino)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", flaky)
    path = tmp_path / "x"
    assert store.publish(path, b"whole")
    assert failed
    assert path.read_bytes() == b"whole"
    assert os.listdir(tmp_path) == ["x"]


def test_a_full_disk_is_said_at_once(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match=r"x: cannot write: No space left on device"):
        store.publish(tmp_path / "x", b"")
    assert len(calls) == 1
    assert os.listdir(tmp_path) == []


def test_a_temporary_file_that_stays_is_no_failure(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def unlink(self: Path, missing_ok: bool = False) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Path, "unlink", unlink)
    assert store.publish(tmp_path / "x", b"whole")
    assert (tmp_path / "x").read_bytes() == b"whole"
    assert "cannot remove: Input/output error" in caplog.text


def test_refusals_name_the_file(tmp_path: Path, store: Store) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UsageError, match=r"file/x: cannot write: Not a directory"):
        store.publish(tmp_path / "file" / "x", b"")
    with pytest.raises(FileNotFoundError):
        store.read(tmp_path / "absent")
    assert store.read_if_there(tmp_path / "absent") is None
    assert store.names_in(tmp_path / "absent") == set()


@pytest.mark.parametrize("name", ["unlink", "close"])
def test_a_claim_that_cannot_be_given_back_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = tmp_path / "branch-000.lease"
    mine, other = Claims(Store(tmp_path), 0.2), Claims(Store(tmp_path), 0.2)
    assert mine.claim(path)
    close = os.close

    def refuse(what: int | Path, *_: object, **__: object) -> None:
        if isinstance(what, int):
            close(what)  # on Linux the descriptor is gone all the same
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(Path if name == "unlink" else os, name, refuse)
        mine.release(path)
    assert path.exists() == (name == "unlink")
    start = time.monotonic()
    while not other.claim(path):  # nobody keeps it alive any more
        assert time.monotonic() - start < 5
        time.sleep(0.02)


HOLD = (
    "import sys, time; from pathlib import Path; from poolrl.storage.claims import Claims\n"
    "from poolrl.storage.store import Store; path = Path(sys.argv[1])\n"
    "claims = Claims(Store(path.parent), 2.0); print(claims.claim(path), flush=True)\n"
    "time.sleep(60)"
)


def test_a_dead_workers_claim_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "branch-000.lease"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"True\n"
    claims = Claims(Store(tmp_path), 2.0)
    for _ in range(25):
        assert not claims.claim(path)  # its heartbeat goes on past the lease's duration
        time.sleep(0.1)
    holder.kill()
    holder.wait()
    start = time.monotonic()
    while not claims.claim(path):
        assert time.monotonic() - start < 10
        time.sleep(0.02)


@pytest.mark.parametrize("content", [b"", b"not a lease"])
def test_a_marker_that_never_yields_is_ignored_after_its_duration(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "branch-000.lease"
    path.write_bytes(content)
    os.utime(path, (2**32, 2**32))  # from the future, so that its age never expires either
    claims = Claims(Store(tmp_path), 0.2)
    start = time.monotonic()
    while not claims.claim(path):
        assert time.monotonic() - start < 5
        time.sleep(0.02)
    assert time.monotonic() - start >= 0.2


@pytest.mark.parametrize("kind", ["empty", "unreadable", "folder", "dangling link", "text"])
def test_whatever_stands_where_a_lease_should_be_is_gone_round(kind: str) -> None:
    with tempfile.TemporaryDirectory() as place:  # pytest's own is root's alone
        os.chmod(place, 0o777)
        is_gone_round(kind, Path(place) / "branch-000.lease")


def is_gone_round(kind: str, lease: Path) -> None:
    if kind == "folder":
        lease.mkdir()
    elif kind == "dangling link":
        lease.symlink_to("nowhere")
    else:
        lease.write_text("hello" if kind == "text" else "")
        lease.chmod(0o000 if kind == "unreadable" else 0o644)
    # Root may read everything, another user may not.
    code = (
        "import ctypes, os, sys, time; from pathlib import Path\n"
        "from poolrl.storage.claims import Claims\n"
        "from poolrl.storage.store import Store\n"
        "path = Path(sys.argv[1]); store = Store(path.parent)\n"
        "Claims(store, 0.2).claim(path.with_name('x'))\n"  # all that is imported late
        "if os.geteuid() == 0: os.setuid(65534)\n"
        "claims, start = Claims(store, 0.2), time.monotonic()\n"
        "while not claims.claim(path): time.sleep(0.01)\n"
        "print(time.monotonic() - start)"
    )
    waited = subprocess.run(
        [sys.executable, "-c", code, str(lease)],
        capture_output=True,
        timeout=30,
        check=True,
    ).stdout
    assert 0.2 < float(waited) < 5.0


def test_a_folder_is_durable_with_what_lies_above_it(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: set[int] = set()
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.add(os.fstat(descriptor).st_ino)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    store.make_folder(tmp_path / "pool" / "iterations" / "000000")
    above = (tmp_path, tmp_path / "pool", tmp_path / "pool" / "iterations")
    assert {path.stat().st_ino for path in above} == synced
