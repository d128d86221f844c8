"""No symbolic links below a pool's directory: what is written or removed would lie elsewhere."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from poolrl.errors import IncompatiblePool

_roots: set[Path] = set()


def guard(root: Path) -> None:
    """From now on, let ``store`` refuse links among the folders below a pool's directory, which
    itself may be reached by one."""
    _roots.add(root)


def refuse_links(folder: Path) -> None:
    """See that a folder of a guarded pool lies in it; every other folder passes.

    What is swapped for a link after this look is not noticed: whoever can do that in a pool's
    directory at the right instant is trusted not to.

    Raises:
        IncompatiblePool: it, or one on the way to it, is a symbolic link.
    """
    below = []
    for each in (folder, *folder.parents[:3]):
        if each in _roots:
            break
        below.append(each)
    else:
        return
    for each in reversed(below):
        try:
            mode = os.lstat(each).st_mode
        except OSError:
            return  # whoever asked will meet it too
        if stat.S_ISLNK(mode):
            raise IncompatiblePool(f"{each}: a symbolic link, which no folder of a pool may be")
