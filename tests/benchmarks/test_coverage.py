"""What the benchmark of coverage measures of recorded positions."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

FILE = Path(__file__).parents[2] / "benchmarks" / "coverage.py"


@pytest.fixture(scope="module")
def coverage() -> Any:
    """By its path: a package of that name may be installed."""
    spec = importlib.util.spec_from_file_location("benchmark_of_coverage", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


MODEL = """
<mujoco>
  <compiler angle="radian"/>
  <worldbody>
    <body name="trunk">
      <freejoint/>
      <geom size="0.1"/>
      <body name="thigh">
        <joint name="hip" axis="0 0 1" range="-1 1"/>
        <geom size="0.1"/>
        <body name="toe" pos="0.5 0 0">
          <joint name="ankle" axis="0 1 0" range="0 2"/>
          <joint name="tied" axis="1 0 0" range="0 2"/>
          <joint name="endless" axis="1 0 0"/>
          <geom size="0.1"/>
          <site name="tip" pos="0.5 0 0"/>
        </body>
      </body>
    </body>
  </worldbody>
  <equality>
    <joint joint1="tied" joint2="ankle"/>
  </equality>
</mujoco>
"""


def test_spans_of_free_joints_with_a_range(coverage: Any) -> None:
    model = mujoco.MjModel.from_xml_string(MODEL)
    qpos = np.zeros((1001, model.nq))
    qpos[:, 7] = np.linspace(-0.5, 0.5, 1001)
    qpos[:, 8] = np.linspace(0.0, 2.0, 1001)
    found = coverage.spans(model, qpos)
    assert found == {"hip": pytest.approx(0.475), "ankle": pytest.approx(0.95)}


def test_a_point_is_seen_from_a_body(coverage: Any) -> None:
    """However that body lies in the world."""
    model = mujoco.MjModel.from_xml_string(MODEL)
    qpos = np.tile(model.qpos0, (2, 1))
    qpos[:, 7] = [0.0, np.pi / 2]
    turned = qpos.copy()
    turned[:, :3] = 5.0
    turned[:, 3:7] = [0.5, 0.5, 0.5, 0.5]
    for name, length in (("tip", 1.0), ("toe", 0.5)):
        body = coverage.Body("", name, "trunk")
        for given in (qpos, turned):
            path = coverage.path_of(model, body, given)
            np.testing.assert_allclose(path, [[length, 0, 0], [0, length, 0]], atol=1e-9)


def test_voxels(coverage: Any) -> None:
    points = np.array([[0.01, 0.01, 0.01], [0.04, 0.04, 0.04], [-0.01, 0, 0], [0.06, 0, 0]])
    assert coverage.visited(points) == 3
