"""``RunOptions`` as one argument."""

from __future__ import annotations

import math

import pytest

from poolrl.config.run_options import RunOptions, decode, encode
from poolrl.errors import UsageError

ALL = RunOptions(
    iterations=7,
    workers=3,
    keep="last:2",
    target_return=-math.inf,
    time_budget=0.1 + 0.2,
    branch_timeout=1 / 3,
    min_deposits=2,
    stall_timeout=1e-3,
    max_failed_iterations=4,
)


@pytest.mark.parametrize("options", [RunOptions(), ALL])
def test_what_was_encoded_is_decoded(options: RunOptions) -> None:
    assert decode(encode(options)) == options
    assert "\n" not in encode(options)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "--run-options: not valid JSON: "),
        ("[" * 100_000, "--run-options: not valid JSON: "),
        ('{"iteration": 3}', "--run-options: iteration: unknown key; did you mean iterations?"),
        ('{"workers": 0}', "--run-options: workers: expected int >= 1, got 0"),
        ('{"stall_timeout": NaN}', "--run-options: stall_timeout: expected float"),
        ('{"keep": "some"}', "--run-options: run.keep: expected champions, all or last:N"),
        ("3", "--run-options: expected object, got 3"),
    ],
)
def test_what_is_wrong_is_one_line(text: str, message: str) -> None:
    with pytest.raises(UsageError) as error:
        decode(text)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)
