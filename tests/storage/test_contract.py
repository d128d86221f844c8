"""The contract of the store and of the claims, on disk and in memory."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

import pytest

from poolrl.errors import UsageError
from poolrl.storage.claims import LEASE_IGNORED_AFTER, Claims
from poolrl.storage.memory import MemoryClaims, MemoryStore
from poolrl.storage.plain_files import StoreError
from poolrl.storage.store import MAX_SMALL_BYTES, Store, UnusableFile
from tests.helpers.manual_clock import ManualClock

LEASE_SECONDS = 500.0


@pytest.fixture(params=["disk", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store(tmp_path) if request.param == "disk" else MemoryStore(tmp_path)


@pytest.fixture
def folder(store: Store) -> Path:
    folder = store.root / "iterations" / "000001"
    store.make_folder(folder)
    return folder


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def make_claims(store: Store, clock: ManualClock) -> Callable[[], Claims]:
    def make() -> Claims:
        if isinstance(store, MemoryStore):
            return MemoryClaims(store, LEASE_SECONDS, clock)
        return Claims(store, LEASE_SECONDS, clock)

    return make


@pytest.mark.parametrize(("twin", "original"), [(MemoryStore, Store), (MemoryClaims, Claims)])
def test_the_twin_overrides_everything(twin: type, original: type) -> None:
    public = {
        name for name, _ in inspect.getmembers(original, callable) if not name.startswith("_")
    }
    assert public
    assert public <= set(vars(twin))


# Files


def test_the_first_to_publish_wins(store: Store, folder: Path) -> None:
    path = folder / "record.json"
    assert store.publish(path, b"one")
    assert not store.publish(path, b"two")
    assert store.publish(path, b"one")  # as a retried request that had succeeded
    assert store.read(path) == b"one"
    assert store.names_in(folder) == {"record.json"}


def test_a_missing_file_cannot_be_read(store: Store, folder: Path) -> None:
    with pytest.raises(FileNotFoundError):
        store.read(folder / "absent")
    assert store.read_if_there(folder / "absent") is None
    assert store.read_if_there(folder / "no" / "folder") is None
    assert store.read_dated(folder / "absent") is None
    assert store.modification_time(folder / "absent") is None


def test_files_that_are_too_large_or_folders_are_unusable(store: Store, folder: Path) -> None:
    store.publish(folder / "x", b"12345")
    assert store.read(folder / "x", 5) == b"12345"
    for path, reason in (
        (folder / "x", "larger than the 4 bytes that it may have"),
        (folder, "Is a directory"),
    ):
        with pytest.raises(UnusableFile, match=reason) as raised:
            store.read_if_there(path, 4)
        assert raised.value.reason == reason
        with pytest.raises(UnusableFile, match=reason):
            store.read(path, 4)


def test_replace_writes_the_newest_content(store: Store, folder: Path) -> None:
    for data in (b"one", b"", b"three"):
        store.replace(folder / "beat.json", data)
        assert store.read(folder / "beat.json") == data
    assert store.names_in(folder) == {"beat.json"}


def test_set_aside_frees_the_name_and_keeps_the_content(store: Store, folder: Path) -> None:
    path = folder / "branch-000.json"
    store.publish(path, b"torn")
    aside = store.set_aside(path)
    assert aside.name.startswith("branch-000.json.corrupt-")
    assert store.names_in(folder) == {aside.name}
    assert store.read(aside) == b"torn"
    store.set_aside(path)  # another worker was first
    assert store.publish(path, b"whole")
    assert store.read(path) == b"whole"


def test_names_and_files(store: Store, folder: Path) -> None:
    store.publish(folder / "b", b"12")
    store.publish(folder / "a", b"")
    store.make_folder(folder / "below")
    assert store.names_in(folder) == {"a", "b", "below"}
    files = store.files_in(folder)
    assert {name: file.size for name, file in files.items()} == {"a": 0, "b": 2}
    assert files["b"].changed == store.modification_time(folder / "b")
    assert store.names_in(store.root) == {"iterations"}
    assert store.names_in(folder / "absent") == set()
    assert store.files_in(folder / "absent") == {}
    with pytest.raises(UsageError, match="b: cannot list: Not a directory"):
        store.names_in(folder / "b")


def test_removing(store: Store, folder: Path) -> None:
    for name in "abc":
        store.publish(folder / name, b"")
    store.remove(folder / "a")
    store.remove(folder / "a")  # gone already
    assert store.remove_files(folder, ["b", "absent", "a"]) == ["b"]
    assert store.names_in(folder) == {"c"}
    assert store.remove_files(store.root / "absent", ["b"]) == []
    store.make_folder(folder / "below")
    assert store.remove_files(folder, ["below"]) == []
    with pytest.raises(StoreError, match="below: cannot remove: Is a directory"):
        store.remove(folder / "below")


def test_folders_are_made_with_their_parents_only_where_that_is_asked_for(store: Store) -> None:
    deep = store.root / "a" / "b"
    with pytest.raises(StoreError, match="b: cannot make: No such file or directory"):
        store.make_folder(deep, parents=False)
    assert store.names_in(store.root) == set()
    store.make_folder(deep)
    store.make_folder(deep)
    store.make_folder(deep / "c", parents=False)
    assert store.names_in(deep) == {"c"}
    store.publish(deep / "file", b"")
    with pytest.raises(StoreError, match="file: cannot make: File exists"):
        store.make_folder(deep / "file")


def test_writing_without_a_folder_is_refused(store: Store, folder: Path) -> None:
    store.publish(folder / "file", b"")
    for write in (store.publish, store.replace, lambda path, _: store.open_log(path)):
        with pytest.raises(StoreError, match="x: cannot write: No such file or directory"):
            write(folder / "absent" / "x", b"")
        with pytest.raises(UsageError, match="x: cannot write: Not a directory"):
            write(folder / "file" / "x", b"")
    for write in (store.replace, lambda path, _: store.open_log(path)):
        with pytest.raises(StoreError, match="000001: cannot write: Is a directory"):
            write(folder, b"")
    assert not store.publish(folder, b"")  # other content was first


def test_dated_reads(store: Store, folder: Path) -> None:
    path = folder / "x.lease"
    store.publish(path, b"pid=1")
    dated = store.read_dated(path)
    assert dated is not None
    assert dated.data == b"pid=1"
    assert dated.changed == store.modification_time(path)
    store.publish(folder / "large", bytes(MAX_SMALL_BYTES + 1))
    assert store.read_dated(folder / "large") is None
    assert store.read_dated(folder) is None
    assert store.modification_time(folder) is None


def test_a_log_is_appended_to(store: Store, folder: Path) -> None:
    path = folder / "worker-000.log"
    for line in (b"one\n", b"two\n"):
        with store.open_log(path) as log:
            log.write(line)
    with store.open_log(path) as first, store.open_log(path) as second:
        second.write(b"three\n")
        second.flush()
        first.write(b"four\n")
    assert store.read(path) == b"one\ntwo\nthree\nfour\n"


def test_folders_without_links_are_accepted(store: Store, folder: Path) -> None:
    store.refuse_links(folder)
    store.refuse_links(folder / "absent")


# Claims


def test_a_claim_excludes_until_it_is_released(
    folder: Path, make_claims: Callable[[], Claims], store: Store
) -> None:
    path = folder / "branch-000.lease"
    mine, other = make_claims(), make_claims()
    assert not mine.is_marked(path)
    assert mine.claim(path)
    assert mine.claim(path)  # its own
    assert other.is_marked(path)
    assert not other.claim(path)
    other.release(path)  # not its own
    assert store.names_in(folder) == {"branch-000.lease"}
    mine.release(path)
    mine.release(path)
    assert other.claim(path)
    assert not mine.claim(path)
    other.forget()
    assert store.names_in(folder) == set()
    assert mine.claim(path)
    mine.forget()


def test_claims_of_different_units_do_not_meet(
    folder: Path, make_claims: Callable[[], Claims], store: Store
) -> None:
    mine, other = make_claims(), make_claims()
    assert mine.claim(folder / "branch-000.lease")
    assert other.claim(folder / "branch-001.lease")
    mine.forget()
    assert store.names_in(folder) == {"branch-001.lease"}
    other.forget()


def test_a_lease_that_nobody_touches_is_ignored_after_its_duration(
    folder: Path, make_claims: Callable[[], Claims], store: Store, clock: ManualClock
) -> None:
    path, claims = folder / "branch-000.lease", make_claims()
    store.publish(path, b"not a lease")
    assert not claims.claim(path)
    clock.advance(LEASE_IGNORED_AFTER * LEASE_SECONDS)
    assert not claims.claim(path)
    clock.advance(1.0)
    assert claims.claim(path)
    # Another lease in its place is waited for again.
    store.remove(path)
    store.publish(path, b"another one")
    assert not claims.claim(path)
    clock.advance(LEASE_IGNORED_AFTER * LEASE_SECONDS + 1.0)
    assert claims.claim(path)
    claims.forget()
    assert store.read(path) == b"another one"


def test_a_claim_without_a_folder_is_refused(
    folder: Path, make_claims: Callable[[], Claims]
) -> None:
    claims = make_claims()
    with pytest.raises(StoreError, match=r"x\.lease: cannot claim: No such file or directory"):
        claims.claim(folder / "absent" / "x.lease")
    claims.forget()


def test_in_memory_a_silent_holder_is_taken_over(tmp_path: Path, clock: ManualClock) -> None:
    store = MemoryStore(tmp_path)
    holder, other = (MemoryClaims(store, LEASE_SECONDS, clock) for _ in range(2))
    path = tmp_path / "branch-000.lease"
    assert holder.claim(path)
    clock.advance(100 * LEASE_SECONDS)
    assert not other.claim(path)  # the holder touches it
    holder.fall_silent()
    clock.advance(LEASE_SECONDS)
    assert not other.claim(path)
    clock.advance(1.0)
    assert other.claim(path)
    holder.release(path)  # without effect: it is the other's now
    assert store.names_in(tmp_path) == {path.name}
