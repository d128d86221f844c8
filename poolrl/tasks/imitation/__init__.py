"""Bodies that imitate recorded movement, on ``mujoco.batch``."""
