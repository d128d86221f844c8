"""The published controller's actions on recorded sensors: what made ``published.npz``.

    pip install --target FOLDER --no-deps --ignore-requires-python deprl==0.5.0
    python -m tests.exploration.published FOLDER/deprl/dep_controller.py

writes ``published.npz`` beside this file: joint angles of a quadruped under sine waves for 200
control steps, scaled as DEP's sensors, (200, 2, 12), and for each name of SETS the actions of
deprl 0.5.0 (with torch 2.13.0 on one thread of a CPU) on them, fed one step after the other. DEP in
closed loop would not do: any two versions that round differently drift apart.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poolrl import tasks
from poolrl.dep import PRESETS, SensorScaling
from poolrl.seeding import Purpose, Streams

FILE = Path(__file__).with_name("published.npz")
SETS = {
    "default": PRESETS["default"],
    "myosuite": PRESETS["myosuite"],
    "humanreacher": PRESETS["humanreacher"],
    "ostrich": PRESETS["ostrich"],
    "none": PRESETS["default"] | {"normalization": "none"},
}
"""Parameters beside the published defaults. The published "global" is one norm over all parallel
environments, and so it is no reference; nor is q_norm_selector = "max", which does not run there.
"""

WARM_UP, STEPS, SIMULATIONS = 100, 200, 2
"""Before the steps that are recorded, extrema settle: a sensor at a new minimum is −1 for several
steps, a row of C is then 0, and the published normalisation overflows float32."""


def recorded_sensors() -> NDArray[np.float32]:
    """(STEPS, SIMULATIONS, 12): joint angles of a quadruped, whose targets are sine waves."""
    task = tasks.make("Quadruped-v0", SIMULATIONS)
    streams = Streams(0)
    ids = np.arange(SIMULATIONS)
    task.reset(ids, streams.generators(Purpose.RESET, 0, SIMULATIONS))
    generator = streams.generator(Purpose.ACTION)
    frequency = generator.uniform(0.05, 0.4, (SIMULATIONS, 12))
    phase = generator.uniform(0, 2 * np.pi, (SIMULATIONS, 12))
    scaling = SensorScaling(SIMULATIONS, 12)
    recorded = []
    for step in range(WARM_UP + STEPS):
        angles = task.observe()[:, 5:17]
        recorded.append(scaling(angles, np.zeros_like(angles)))
        task.step(np.sin(frequency * step + phase))
    return np.array(recorded[WARM_UP:], np.float32)


def main(path: Path) -> None:
    sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
    from dep import published_controller

    sensors = recorded_sensors()
    found = {"sensors": sensors}
    for name, parameters in SETS.items():
        controller = published_controller(path, sensors.shape[2], parameters)
        found[name] = np.array([controller.step(each) for each in sensors])
    np.savez_compressed(FILE, **found)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
