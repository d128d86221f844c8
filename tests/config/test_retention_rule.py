"""The rule for agents that lost."""

from __future__ import annotations

import pytest

from poolrl.config.retention_rule import Keep
from poolrl.config.schema import RunOptions
from poolrl.errors import UsageError


def test_rules_say_which_iterations_losers_may_go_from() -> None:
    assert Keep.parse("champions").expired(7) == 7
    assert Keep.parse("last:3").expired(7) == 4
    assert Keep.parse("last:9").expired(7) < 0
    assert Keep.parse("all").expired(7) < 0


@pytest.mark.parametrize("text", ["", "last", "last:0", "last:-1", "last:1.5", "ALL", "last:1\n"])
def test_other_rules_are_refused_by_name(text: str) -> None:
    with pytest.raises(UsageError, match="champions, all or last:N"):
        Keep.parse(text)
    with pytest.raises(UsageError, match=r"run\.keep: expected"):
        RunOptions(keep=text)
