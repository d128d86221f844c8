"""Every distribution, network and learner: a pool that is cut resumes to the same bits."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from poolrl.errors import Stopped
from poolrl.records.work_units import Unit
from tests.helpers.every_network import (
    DISTRIBUTIONS,
    LEARNERS,
    NETWORKS,
    keys_of,
)
from tests.helpers.memory_pool import Scene, patch_compute


@pytest.mark.parametrize("learner", LEARNERS)
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_a_cut_pool_resumes_to_the_same_bits(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    distribution: str,
    network: str,
    learner: str,
) -> None:
    keys = keys_of(distribution, network, learner)
    expected, cut = Scene(tmp_path, **keys).work(2), Scene(tmp_path, **keys)
    first = Unit(2, "branch", list(product(NETWORKS, LEARNERS)).index((network, learner)) % 2)

    def stop(unit: Unit) -> None:
        if unit == first and cut.deposits.record(Unit(1, "branch", 0)) is not None:
            raise Stopped(75, "cut")

    with monkeypatch.context() as patched:
        patch_compute(patched, stop)
        with pytest.raises(Stopped):
            cut.work(2)
    again = cut.work(2)
    assert again.champion.sha256 == expected.champion.sha256
    record = cut.record(Unit(2, "branch", 0))
    assert record.status == "done", record.reason
