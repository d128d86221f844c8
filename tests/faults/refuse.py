"""Run a command in which some system calls fail, as on a file system that does not support them.

    python -m tests.faults.refuse exchange=EINVAL link=EPERM -- COMMAND …

The filter (seccomp) applies to all processes that the command starts.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys

CALLS = {
    "x86_64": {
        "link": (86, 265),
        "exchange": (316,),
        "fsync": (74, 75),
        "audit": (0xC000003E,),
    },
    "aarch64": {
        "link": (37,),
        "exchange": (276,),
        "fsync": (82, 83),
        "audit": (0xC00000B7,),
    },
}
"""By machine and name: the numbers of the calls."""

_LOAD, _EQUAL, _SET, _RETURN = 0x20, 0x15, 0x45, 0x06  # of the packet filter's instructions
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000
_RENAME_EXCHANGE = 2
_FLAGS = 16 + 8 * 4  # the offset of renameat2's fifth argument


def why_not() -> str:
    """Why calls cannot be refused here; empty if they can."""
    if not sys.platform.startswith("linux"):
        return "seccomp is Linux's"
    return "" if platform.machine() in CALLS else f"no call numbers of {platform.machine()}"


def refuse(refused: dict[str, int]) -> None:
    """Let calls fail from now on, in this process and its children.

    Args:
        refused: a name in ``CALLS`` -> errno.
    """
    numbers = CALLS[platform.machine()]
    program = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, numbers["audit"][0]), (_RETURN, 0, 0, _ALLOW)]
    for name, code in refused.items():
        for number in numbers[name]:
            program += [(_LOAD, 0, 0, 0)]
            if name == "exchange":
                program += [
                    (_EQUAL, 0, 3, number),
                    (_LOAD, 0, 0, _FLAGS),
                    (_SET, 0, 1, _RENAME_EXCHANGE),
                ]
            else:
                program += [(_EQUAL, 0, 1, number)]
            program += [(_RETURN, 0, 0, _ERROR | code)]
    program += [(_RETURN, 0, 0, _ALLOW)]
    code_bytes = b"".join(struct.pack("HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code_bytes)
    header = struct.pack("HxxxxxxP", len(program), ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in ((38, 1, 0, 0, 0), (22, 2, ctypes.create_string_buffer(header), 0, 0)):
        if libc.prctl(*arguments) != 0:
            raise OSError(ctypes.get_errno(), "prctl")


def prefix(*refused: str) -> tuple[str, ...]:
    """The words before a command in which calls fail, such as ``link=EPERM``."""
    return (sys.executable, "-m", "tests.faults.refuse", *refused, "--")


def main() -> None:
    middle = sys.argv.index("--")
    pairs = (word.split("=") for word in sys.argv[1:middle])
    refuse({name: getattr(errno, code) for name, code in pairs})
    os.execvp(sys.argv[middle + 1], sys.argv[middle + 1 :])


if __name__ == "__main__":
    main()
