"""Pools whose figures are drawn."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from poolrl.monitoring.history import History
from tests.helpers.rules import finished


def history_of(pool: Path) -> History:
    """The records of a pool."""
    from poolrl.pool.directory import open_pool

    history = History(open_pool(pool))
    history.refresh()
    return history


@pytest.fixture(scope="session")
def pool_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a merge rule's pool, by the rule's name in ``tests.helpers.rules``."""
    folder = tmp_path_factory.mktemp("figures")

    @cache
    def made(rule: str) -> Path:
        return finished(folder / rule.replace(" ", "_"), rule).layout.root

    return made
