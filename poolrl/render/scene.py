"""Draw states of a MuJoCo model: quality, cameras and the renderer.

Only the process that draws imports this module, since its import reads MUJOCO_GL.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from poolrl.errors import UsageError
from poolrl.render.job import TRACK, Quality

_NAME = "model.mjb"

# Or MuJoCo appends them to a file in the working directory; the episode was played already.
mujoco.set_mju_user_warning(lambda _message: None)

Image = NDArray[np.uint8]

GHOST = (1.0, 1.0, 1.0, 0.2)
"""Colour and opacity of a body that is to be imitated, those of the virtual rodent's videos."""

FAR, NEAR = 12.0, 5.0
"""A camera that follows a body from more than ``FAR`` of its radii comes as near as ``NEAR``."""


class Scene:
    """Draws states of one model.

    Args:
        model: in MuJoCo's binary format.
        size: width and height in pixels.
        quality: ``fast`` leaves out multisampling, shadows and reflections, which take most of
            the time without a GPU; ``full`` is what the model asks for.
        camera: name of a camera of the model; ``None`` for its camera ``track``, or for one that
            follows the root body.
        episodes: (steps + 1, size of ``mjSTATE_INTEGRATION``) each: the states that may be drawn.

    Raises:
        UsageError: the model has no such camera.
    """

    def __init__(
        self,
        model: bytes,
        size: tuple[int, int],
        quality: Quality,
        camera: str | None,
        episodes: Iterable[NDArray[np.float64]],
    ) -> None:
        self.model = mujoco.MjModel.from_binary_path(_NAME, {_NAME: model})
        width, height = size
        visual = self.model.vis
        visual.global_.offwidth = max(visual.global_.offwidth, width)
        visual.global_.offheight = max(visual.global_.offheight, height)
        if quality == "fast":  # before the renderer is made, which reads these once
            visual.quality.offsamples = 0
            visual.quality.shadowsize = 0
            self.model.mat_reflectance[:] = 0
        self._data = mujoco.MjData(self.model)
        self._ghost: Any = None
        extended = extend_floors(self.model, self._places(episodes))
        self._camera = Camera(self.model, camera)
        self._renderer = mujoco.Renderer(self.model, height, width)
        if extended:  # or it is a white line at the horizon of what used to end before
            self._renderer.scene.flags[mujoco.mjtRndFlag.mjRND_HAZE] = False
        self._image: Image = np.empty((height, width, 3), np.uint8)

    def image(self, state: NDArray[np.float64], ghost: NDArray[np.float64] | None = None) -> Image:
        """Draw a state.

        Args:
            state: (size of ``mjSTATE_INTEGRATION``,).
            ghost: (nq,): positions in which the body is drawn a second time, translucent.

        Returns:
            (height, width, 3), which the next call overwrites.
        """
        self._set(state)
        mujoco.mj_forward(self.model, self._data)
        self._renderer.update_scene(self._data, self._camera.at(self._data))
        if ghost is not None:
            self._add(ghost)
        self._renderer.render(out=self._image)
        return self._image

    def close(self) -> None:
        """Release the renderer. Call it after ``image``, before another scene draws: what is freed
        is of the OpenGL context that is current."""
        self._renderer.close()

    def _add(self, qpos: NDArray[np.float64]) -> None:
        """Add the shapes of the moving bodies in other positions to what is drawn."""
        if self._ghost is None:
            self._ghost = mujoco.MjData(self.model)
        self._ghost.qpos[:] = qpos
        mujoco.mj_kinematics(self.model, self._ghost)
        scene = self._renderer.scene
        before = scene.ngeom
        mujoco.mjv_addGeoms(
            *(self.model, self._ghost, mujoco.MjvOption(), mujoco.MjvPerturb()),
            *(int(mujoco.mjtCatBit.mjCAT_DYNAMIC), scene),
        )
        for geom in scene.geoms[before : scene.ngeom]:
            geom.rgba[:] = GHOST
            geom.matid = -1
            geom.transparent = True
            geom.category = int(mujoco.mjtCatBit.mjCAT_DECOR)  # without a shadow

    def _set(self, state: NDArray[np.float64]) -> None:
        mujoco.mj_setState(self.model, self._data, state, mujoco.mjtState.mjSTATE_INTEGRATION)

    def _places(self, episodes: Iterable[NDArray[np.float64]]) -> NDArray[np.float64]:
        """Where the root body is in all states, (states, 3)."""
        root, places = root_body(self.model), []
        for state in (state for states in episodes for state in states):
            self._set(state)
            mujoco.mj_kinematics(self.model, self._data)
            places.append(self._data.xpos[root].copy())
        return np.array(places)


class Camera:
    """A model's own camera, or one that follows its root body from the model's free camera."""

    def __init__(self, model: mujoco.MjModel, name: str | None) -> None:
        self._model = model
        number = _camera_id(model, name)
        self._camera = mujoco.MjvCamera()
        self._root = None
        if number is not None:
            self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
            self._camera.fixedcamid = number
            return
        mujoco.mjv_defaultFreeCamera(model, self._camera)
        self._root = root_body(model)
        data = mujoco.MjData(model)
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        center, radius = data.subtree_com[self._root], _radius(model, data, self._root)
        if self._camera.distance > FAR * radius:  # where a room is, most of the model
            self._camera.lookat[:] = center
            self._camera.distance = NEAR * radius
        self._offset = self._camera.lookat - data.xpos[self._root]

    def at(self, data: mujoco.MjData) -> Any:
        """The camera for a state. It depends on the state alone, so that each frame does."""
        if self._root is not None:
            self._camera.lookat[:] = data.xpos[self._root] + self._offset
        return self._camera


def _camera_id(model: mujoco.MjModel, name: str | None) -> int | None:
    """Index of a camera; ``None`` for the one that follows the root body."""
    names = [
        mujoco.mj_id2name(model, mujoco.mjtObj.mjOBJ_CAMERA, i) or "" for i in range(model.ncam)
    ]
    if (name or TRACK) in names:
        return names.index(name or TRACK)
    if name not in (None, TRACK):
        raise UsageError(f"--camera {name}: the model has no such camera")
    return None


def root_body(model: mujoco.MjModel) -> int:
    """Index of the heaviest of the bodies that are attached to the world and carry joints; 0, the
    world, where nothing moves."""
    (moving,) = np.nonzero(model.body_dofnum)
    roots = np.unique(model.body_rootid[moving])
    if not len(roots):
        return 0
    return int(roots[np.argmax(model.body_subtreemass[roots])])


def _radius(model: mujoco.MjModel, data: mujoco.MjData, root: int) -> float:
    """Radius in m of a ball around the centre of mass of a body that bears others, which holds all
    of their geoms; infinite for the world, or without geoms."""
    (own,) = np.nonzero((model.body_rootid[model.geom_bodyid] == root) & (model.geom_rbound > 0))
    if root == 0 or not len(own):
        return np.inf
    distances = np.linalg.norm(data.geom_xpos[own] - data.subtree_com[root], axis=1)
    return float((distances + model.geom_rbound[own]).max())


def extend_floors(model: mujoco.MjModel, places: NDArray[np.float64]) -> bool:
    """Draw planes without an end that a body comes near to.

    MuJoCo's planes have none in its physics, but are drawn in the size that they were given, and a
    fast cheetah leaves that of Gymnasium's after a seventh of an episode.

    Args:
        model: changed in place, before its renderer is made.
        places: (n, 3), where the body is.

    Returns:
        Whether there was such a plane.
    """
    extended = False
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    planes = model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE
    for geom in np.flatnonzero(planes & (model.body_weldid[model.geom_bodyid] == 0)):
        half = model.geom_size[geom, :2].copy()
        own = (places - data.geom_xpos[geom]) @ data.geom_xmat[geom].reshape(3, 3)
        if (half <= 0).any() or (np.abs(own[:, :2]) < half / 2).all():
            continue
        material = int(model.geom_matid[geom])
        if material >= 0 and not model.mat_texuniform[material]:
            if (~planes & (model.geom_matid == material)).any():
                continue  # its texture would change on other shapes too
            # Tiles of the same size: repetitions in the length of two units, as is seen.
            model.mat_texrepeat[material] /= half
            model.mat_texuniform[material] = True
        model.geom_size[geom, :2] = 0
        extended = True
    return extended
