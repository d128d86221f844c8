"""Every option is documented where it is declared."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import poolrl.config

FOLDER = Path(poolrl.config.__file__).parent
CONTAINERS = {"Spec", "_RunTable"}
"""Structures whose fields are sections, which have docstrings of their own."""


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_every_option_has_a_text(path: Path) -> None:
    classes = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.ClassDef)]
    bare = [
        f"{each.name}.{ast.unparse(field.target)}"
        for each in classes
        if each.name not in CONTAINERS and "Attributes:" not in (ast.get_docstring(each) or "")
        for field, after in zip(each.body, [*each.body[1:], None], strict=True)
        if isinstance(field, ast.AnnAssign)
        and not (isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant))
    ]
    assert bare == []
