"""Motion clips: what a body did, frame by frame; files of them, and how they are made."""

from poolrl.clips.clip import Clip
from poolrl.clips.clip_file import ClipFile, read_clips, write_clips

__all__ = ["Clip", "ClipFile", "read_clips", "write_clips"]
