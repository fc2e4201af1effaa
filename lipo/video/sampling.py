"""Which frames of a clip are kept, and how large."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from lipo.common import option


@dataclass(frozen=True)
class FrameOptions:
    """What a clip is reduced to."""

    sampling: str = option(
        "uniform",
        help="`uniform`: frames spread over the clip; `fps`: so many a second, spread wider where that exceeds frames.",
        choices=("uniform", "fps"),
    )
    frames: int = option(16, help="Frames of a clip at most.", minimum=1, maximum=4096)
    fps: float = option(2.0, help="Frames a second, for sampling: fps.", minimum=0.01, maximum=240.0)
    max_pixels: int = option(200_704, help="Pixels of one frame at most; larger ones shrink.", minimum=784)
    total_pixels: int = option(3_211_264, help="Pixels of all frames of a clip together at most.", minimum=784)
    multiple_of: int = option(
        28,
        help="Width and height become multiples of it: patch size times merge size of the model.",
        minimum=1,
        maximum=256,
    )
    encoding: str = option(
        "jpeg", help="How frames are stored: jpeg (quality 95) or png (lossless).", choices=("jpeg", "png")
    )


@dataclass(frozen=True)
class Part:
    """What of a clip is looked at, in seconds from its first frame."""

    start: float = 0.0
    end: float | None = None
    """None for the clip's end."""
    picture_fps: float = 3.0
    """Pictures a second, where the clip is a folder of pictures."""


def find_part(times: Sequence[float], part: Part) -> tuple[int, int]:
    """Find the frames that are shown in a part of a clip.

    Args:
        times: (N,) seconds at which the clip's frames are shown, not decreasing.
        part: The part.

    Returns:
        Index of the first frame, and of the first behind the last; equal ones where the clip has nothing there.

    Example:
        >>> find_part([0.0, 1.0, 2.0, 3.0, 4.0], Part(0.5, 3.0)), find_part([0.0, 1.0], Part(5.0, 6.0))
        ((1, 4), (2, 2))
        >>> find_part([0.0, 1.0, 2.0], Part(1.2, 1.6))
        (1, 2)
    """
    low = bisect_left(times, part.start - 1e-6)
    high = len(times) if part.end is None else bisect_right(times, part.end + 1e-6)
    if low < high or part.end is None or part.end < part.start or low >= len(times):
        return low, max(low, high)
    # Shorter than a frame is shown: the one on the screen.
    return max(0, low - 1), max(1, low)


def choose_frames(times: Sequence[float], options: FrameOptions) -> list[int]:
    """Choose frames by their times.

    Args:
        times: (N,) seconds at which the clip's frames are shown, not decreasing.
        options: ``sampling``, ``frames`` and ``fps`` are used.

    Returns:
        Different indices in increasing order, at most ``options.frames``; none for no frames.

    Example:
        >>> choose_frames([i / 10 for i in range(40)], FrameOptions(frames=4))
        [0, 13, 26, 39]
        >>> choose_frames([i / 10 for i in range(40)], FrameOptions(sampling="fps", fps=1))
        [0, 10, 20, 30]
    """
    if not times:
        return []
    last = len(times) - 1
    if options.sampling == "fps":
        wanted = math.floor((times[-1] - times[0]) * options.fps + 1e-6) + 1
        if wanted <= options.frames:
            # What is on the screen at that moment: the last frame shown by then.
            moments = (times[0] + i / options.fps + 1e-6 for i in range(wanted))
            return sorted({min(bisect_right(times, moment), last + 1) - 1 for moment in moments})
    count = min(options.frames, len(times))
    return sorted({i * last // (count - 1) for i in range(count)}) if count > 1 else [0]


def frame_size(width: int, height: int, frames: int, options: FrameOptions) -> tuple[int, int]:
    """Fit a frame into the budget, keeping its proportions as nearly as multiples allow.

    Args:
        width: Of the clip, in pixels.
        height: Likewise.
        frames: How many frames share ``total_pixels``.
        options: ``max_pixels``, ``total_pixels`` and ``multiple_of`` are used.

    Returns:
        ``(width, height)``; at least one multiple each, even where that exceeds the budget.

    Example:
        >>> frame_size(1920, 1080, 16, FrameOptions())
        (588, 336)
    """
    unit = options.multiple_of
    budget = min(options.max_pixels, options.total_pixels // max(frames, 1))
    scale = min(1.0, math.sqrt(budget / (width * height)))
    wide = max(unit, round(width * scale / unit) * unit)
    high = max(unit, round(height * scale / unit) * unit)
    while wide * high > budget and max(wide, high) > unit:
        # Rounding up has gone beyond: take the side off that was rounded up further.
        if high == unit or (wide > unit and wide / width >= high / height):
            wide -= unit
        else:
            high -= unit
    return wide, high
