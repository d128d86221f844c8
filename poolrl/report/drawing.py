"""Drawing with matplotlib without a window, and its errors in one line."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from poolrl.errors import PoolrlError, one_line
from poolrl.files import printable


@contextmanager
def drawing() -> Iterator[None]:
    """Draw without a window and without matplotlib's messages, and convert what it raises into one
    line.

    Raises:
        PoolrlError: it raised something else than this package's errors.
    """
    # matplotlib cannot even be imported with a backend that it does not know, such as a notebook's
    # elsewhere, and none is used here.
    backend = os.environ.pop("MPLBACKEND", None)
    # It has a message for every letter that a font lacks, and every key of an old matplotlibrc.
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    except PoolrlError:
        raise
    except Exception as error:
        raise PoolrlError(f"cannot draw: {printable(one_line(error), 300)}") from error
    finally:
        logger.setLevel(level)
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
