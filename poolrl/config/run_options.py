"""``RunOptions`` as one argument of a worker's command line: JSON."""

from __future__ import annotations

import json

import msgspec

from poolrl.config.schema import RunOptions
from poolrl.config.validation import convert
from poolrl.errors import UsageError


def encode(run: RunOptions) -> str:
    """Encode options as one line of JSON, with ``Infinity`` and ``NaN`` as Python writes them."""
    return json.dumps(msgspec.to_builtins(run))


def decode(text: str) -> RunOptions:
    """Decode and validate what ``encode`` returned.

    Raises:
        UsageError: the text is not JSON, or names the key with an unknown name or invalid value.
    """
    try:
        table = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--run-options: not valid JSON: {error}") from error
    return convert(table, RunOptions, "--run-options")
