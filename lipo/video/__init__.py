"""Video data for verl: frames of clips within a budget, decoded once, and annotations as parquet with ``videos``.

``python -m lipo.video.prepare --help`` converts NextQA, LLaVA-Video-178K and cold-start annotations.
"""

from lipo.video.annotations import FORMATS, Question, read_questions
from lipo.video.cache import CachedClip, FrameCache
from lipo.video.decode import Clip, VideoError, decode_clip
from lipo.video.pictures import decode_pictures
from lipo.video.sampling import FrameOptions, Part, choose_frames, find_part, frame_size

__all__ = [
    "FORMATS",
    "CachedClip",
    "Clip",
    "FrameCache",
    "FrameOptions",
    "Part",
    "Question",
    "VideoError",
    "choose_frames",
    "decode_clip",
    "decode_pictures",
    "find_part",
    "frame_size",
    "read_questions",
]
