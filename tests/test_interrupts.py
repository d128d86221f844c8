"""Requests to end the process, against the code of others that handles signals too."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from unittest import mock

import pytest

from poolrl.errors import Stopped, TooLong
from poolrl.interrupts import SIGNALS, WAKE_UP, InterruptHandler, stoppable

LONG_SECONDS = 30.0
"""A guard: what is tested ends it."""


def send(number: signal.Signals) -> None:
    """Send a signal to this process, and wait for its effect."""
    os.kill(os.getpid(), number)
    time.sleep(LONG_SECONDS)


@pytest.fixture
def interrupts() -> Iterator[InterruptHandler]:
    """Installed in this process for one test."""
    numbers = (*SIGNALS, WAKE_UP, signal.SIGALRM)
    before = [signal.getsignal(number) for number in numbers]
    with mock.patch.object(signal, "signal", signal.signal):
        handler = InterruptHandler()
        handler.install()
        yield handler
    for number, old in zip(numbers, before, strict=True):
        signal.signal(number, old)


def ignore(number: int, frame: object) -> None:
    """A handler of another library."""


@pytest.mark.parametrize("number", SIGNALS)
def test_handlers_of_others_do_not_replace_it(
    interrupts: InterruptHandler, number: signal.Signals
) -> None:
    def work() -> None:
        signal.signal(number, ignore)  # as in a constructor or a step
        send(number)

    with pytest.raises(Stopped, match=number.name), interrupts.interruptible():
        work()


def test_others_see_their_own_handlers(interrupts: InterruptHandler) -> None:
    old = signal.signal(signal.SIGTERM, ignore)
    assert old == signal.SIG_DFL
    assert signal.signal(signal.SIGTERM, signal.SIG_IGN) is ignore
    with pytest.raises(TypeError):
        signal.signal(signal.SIGTERM, "no handler")  # type: ignore[arg-type]
    failed = []

    def in_thread() -> None:
        with pytest.raises(ValueError, match="main thread"):
            signal.signal(signal.SIGTERM, ignore)
        failed.append(True)

    thread = threading.Thread(target=in_thread)
    thread.start()
    thread.join()
    assert failed


def test_other_signals_are_left_to_others(interrupts: InterruptHandler) -> None:
    rung = []
    signal.signal(signal.SIGALRM, lambda *_: rung.append(True))
    with interrupts.interruptible():
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        end = time.monotonic() + LONG_SECONDS
        while not rung and time.monotonic() < end:
            time.sleep(0.001)
    assert rung


def test_a_library_in_c_is_undone_at_the_next_section(interrupts: InterruptHandler) -> None:
    library = ctypes.CDLL(None)
    library.signal.restype = ctypes.c_void_p
    with interrupts.interruptible():
        library.signal(int(signal.SIGUSR1), ctypes.c_void_p(1))  # SIG_IGN
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        os.kill(os.getpid(), signal.SIGUSR1)
    assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with pytest.raises(Stopped), interrupts.interruptible():
        send(signal.SIGUSR1)


def test_a_forked_child_can_be_terminated(interrupts: InterruptHandler) -> None:
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(LONG_SECONDS,))
    with interrupts.interruptible():
        child.start()
    os.kill(child.pid or 0, signal.SIGUSR1)  # ignored, as it was asked for
    child.terminate()
    child.join(LONG_SECONDS)
    assert child.exitcode == -signal.SIGTERM


def test_what_was_interrupted_is_interrupted_once(interrupts: InterruptHandler) -> None:
    cleaned = []

    def work() -> None:
        try:
            send(signal.SIGTERM)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)  # the launcher passes on what the terminal sent
            cleaned.append(True)

    with pytest.raises(Stopped), interrupts.interruptible():
        work()
    assert cleaned


def test_a_limited_section_ends(interrupts: InterruptHandler) -> None:
    closed = []

    def close_all() -> None:
        with contextlib.ExitStack() as stack:
            for number in range(3):
                stack.callback(time.sleep, LONG_SECONDS)
                stack.callback(closed.append, number)

    with pytest.raises(TooLong), interrupts.limited(0.05):
        close_all()
    assert closed == [2, 1, 0]
    with interrupts.limited(LONG_SECONDS):
        os.kill(os.getpid(), signal.SIGTERM)  # recorded
    with pytest.raises(Stopped):
        interrupts.check()


def test_a_command_is_left_by_an_exception(interrupts: InterruptHandler) -> None:
    @stoppable()
    def command() -> None:
        send(signal.SIGHUP)

    with mock.patch.object(signal, "signal", signal.signal), pytest.raises(Stopped) as stopped:
        command()
    assert stopped.value.exit_code == 75
