"""Start the process that draws, and read its pictures."""

from __future__ import annotations

import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from poolrl.errors import PoolrlError
from poolrl.import_path import python_command
from poolrl.render.backend import drawing_environment
from poolrl.render.draw import HEADER
from poolrl.render.job import MAX_SIZE, Job

Image = NDArray[np.uint8]

END_SECONDS = 30.0
"""Timeout for the process to end after its last picture."""


@contextmanager
def drawn(job: Job, backend: str | None) -> Iterator[Iterator[Image]]:
    """Draw a job in a process of its own, which ends with the block.

    Args:
        job: what to draw.
        backend: value of MUJOCO_GL; ``None`` to leave the choice to MuJoCo.

    Yields:
        The pictures of the job's moments, in order, each of shape (height, width, 3).

    Raises:
        PoolrlError: what the process has said; raised by the iterator.
    """
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            python_command("poolrl.render.draw"),
            env=drawing_environment(backend),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,  # a terminal's Ctrl-C is for this process, which ends that one
        )
        assert process.stdin is not None
        assert process.stdout is not None
        # A thread, since a process that fails at once does not read all of it.
        sender = threading.Thread(target=_send, args=(process.stdin, job.encode()), daemon=True)
        try:
            sender.start()
            yield _pictures(process, process.stdout, len(job.moments), errors)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
            sender.join()


def _send(stream: IO[bytes], data: bytes) -> None:
    with suppress(OSError):  # the process has ended, and its message says why
        stream.write(data)
    with suppress(OSError):
        stream.close()


def _pictures(
    process: subprocess.Popen[bytes], stream: Any, count: int, errors: IO[bytes]
) -> Iterator[Image]:
    for _ in range(count):
        header = stream.read(HEADER.size)
        if len(header) < HEADER.size:
            raise _failure(process, errors)
        height, width = HEADER.unpack(header)
        if not (0 < height <= 4 * MAX_SIZE and 0 < width <= 4 * MAX_SIZE):
            raise PoolrlError(f"cannot draw: a picture of {width}x{height} pixels")
        image: Image = np.empty((height, width, 3), np.uint8)
        view = image.data.cast("B")
        while len(view):
            if not (read := stream.readinto(view)):
                raise _failure(process, errors)
            view = view[read:]
        yield image


def _failure(process: subprocess.Popen[bytes], errors: IO[bytes]) -> PoolrlError:
    """The error of a process that has ended before its last picture."""
    try:
        code = process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        return PoolrlError("cannot draw: the process that draws does not answer")
    errors.seek(0)
    lines = [line for line in errors.read().decode(errors="replace").splitlines() if line.strip()]
    if code < 0:
        return PoolrlError(f"cannot draw: the process that draws was killed by signal {-code}")
    error = PoolrlError(lines[-1] if lines else f"cannot draw: exit code {code}")
    error.exit_code = code or 1
    return error
