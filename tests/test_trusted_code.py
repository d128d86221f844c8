"""Code that runs by permission, of any kind: here classes that are no tasks."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from poolrl import trusted_code
from poolrl.errors import IncompatiblePool, UsageError
from poolrl.trusted_code import TrustedCode


class Base:
    """What the user derives from."""


SOURCE = """\
from pathlib import Path
from tests.test_trusted_code import Base
with open(Path(__file__).parent / "runs", "a") as file: file.write("x")
class Mine(Base):
    def fail(self): raise ValueError("broken")
class Other: pass
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file that counts how often it is run."""
    path = tmp_path / "mine.py"
    path.write_text(SOURCE)
    return path


def runs(file: Path) -> int:
    count = file.parent / "runs"
    return len(count.read_text()) if count.exists() else 0


def trusted() -> TrustedCode:
    return TrustedCode(
        "network.id",
        base_classes=lambda: (Base,),
        base_name="poolrl.Base",
        is_registered=lambda name: name == "Registered",
    )


def test_it_knows_neither_tasks_nor_configurations() -> None:
    code = "import sys, poolrl.trusted_code; print(*sorted(sys.modules))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ours = {name for name in said.stdout.split() if name.startswith("poolrl.")}
    root = (
        "_version",
        "errors",
        "files",
        "output",
        "process_state",
        "trusted_code",
        "user_modules",
    )
    assert ours <= {f"poolrl.{name}" for name in root}


def test_a_file_is_run_once_and_by_permission(file: Path) -> None:
    code, reference = trusted(), f"{file}:Mine"
    assert code.permitted(reference) is None
    assert runs(file) == 0
    digest = hashlib.sha256(SOURCE.encode()).hexdigest()
    assert trusted_code.sha256(reference, "network.id") == digest
    assert code.permit(reference) == code.permit(reference, sha256=digest) == digest
    assert code.permit("elsewhere/mine.py:Mine", reference) == digest
    assert runs(file) == 1
    known = code.permitted(reference, digest)
    assert known is not None
    assert (known.file, known.sha256) == (file, digest)
    assert issubclass(known.entry, Base)
    assert code.permitted(reference, "0" * 64) is None


def test_objects_share_no_permissions(file: Path) -> None:
    one, other = trusted(), trusted()
    one.permit(f"{file}:Mine")
    assert other.permitted(f"{file}:Mine") is None


def test_another_content_is_refused_before_it_runs(file: Path) -> None:
    with pytest.raises(IncompatiblePool, match=r"network\.source_sha256: .*: the network is anoth"):
        trusted().permit(f"{file}:Mine", sha256="0" * 64)
    assert runs(file) == 0


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Other", "network.id: {file}: Other is no class derived from poolrl.Base; there: Mine"),
        ("Absent", "network.id: {file}: Absent is not in it; there: Mine"),
    ],
)
def test_a_class_must_derive_from_what_is_accepted(file: Path, name: str, words: str) -> None:
    with pytest.raises(UsageError) as error:
        trusted().permit(f"{file}:{name}")
    assert str(error.value) == words.format(file=file)


def test_a_name_that_the_file_registers_is_accepted(file: Path) -> None:
    code = trusted()
    code.permit(f"{file}:Registered")
    known = code.permitted(f"{file}:Registered")
    assert known is not None
    assert known.entry == "Registered"


def test_an_exception_names_the_users_line(file: Path) -> None:
    code, reference = trusted(), f"{file}:Mine"
    code.permit(reference)
    known = code.permitted(reference)
    assert known is not None
    with pytest.raises(UsageError, match=r"mine\.py:5: ValueError: broken"), code.blamed(reference):
        known.entry().fail()
    with pytest.raises(ValueError, match="broken"), code.blamed("unknown.py:Mine"):
        known.entry().fail()


def test_an_installed_id_loads_nothing() -> None:
    code = trusted()
    code.permit_installed("Installed-v0")
    known = code.permitted("Installed-v0")
    assert known is not None
    assert known.entry is None
    with pytest.raises(ValueError, match="ours"), code.blamed("Installed-v0"):
        raise ValueError("ours")
