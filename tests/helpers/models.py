"""Files of MuJoCo models to change in a test."""

from __future__ import annotations

import shutil
from pathlib import Path

import gymnasium


def copy_gymnasium_model(name: str, path: Path) -> None:
    """Copy a model of Gymnasium's, as it is in its package.

    ``mujoco.mj_saveLastXML`` would not do: it writes the model that was parsed last, and a cached
    one may have been parsed long before.
    """
    assets = Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets"
    shutil.copyfile(assets / name, path)
