"""Clips that are folders of pictures, as some data sets hold their films."""

from __future__ import annotations

import re
from pathlib import Path

from PIL import Image

from lipo.video.decode import Clip, VideoError, choose_part
from lipo.video.sampling import FrameOptions, Part, frame_size

_SUFFIXES = (".jpg", ".jpeg", ".png")
_MAX_SIDE = 16_384


def picture_files(folder: Path) -> list[Path]:
    """List the pictures of a folder by name, numbers by value.

    Raises:
        VideoError: It holds none.
    """
    found = [path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES and path.is_file()]
    if not found:
        raise VideoError(f"{folder} holds no .jpg or .png", "unpack it again")
    return sorted(found, key=lambda path: [(int(t), "") if t.isdigit() else (0, t) for t in _parts(path.stem)])


def _parts(name: str) -> list[str]:
    return re.findall(r"[0-9]+|[^0-9]+", name)


def decode_pictures(folder: Path, options: FrameOptions | None = None, part: Part | None = None) -> Clip:
    """Open the pictures that the options ask for; no others.

    Args:
        folder: JPEG and PNG files; hostile.
        options: Which frames, how large.
        part: Take the frames from this part only; its ``picture_fps`` tells how long a picture is shown.

    Returns:
        The frames, RGB.

    Raises:
        VideoError: No pictures, or one that cannot be read.
    """
    options, part = options or FrameOptions(), part or Part()
    files = picture_files(folder)
    times = [i / part.picture_fps for i in range(len(files))]
    chosen = choose_part(times, options, part, folder)
    frames = tuple(_open(files[i], len(chosen), options) for i in chosen)
    return Clip(frames, tuple(times[i] for i in chosen), len(files) / part.picture_fps, len(files))


def _open(path: Path, frames: int, options: FrameOptions) -> Image.Image:
    try:
        with Image.open(path, formats=("JPEG", "PNG")) as picture:
            if max(picture.size) > _MAX_SIDE:
                raise VideoError(
                    f"{path} has {picture.size[0]} x {picture.size[1]} pixels", f"at most {_MAX_SIDE} a side"
                )
            size = frame_size(*picture.size, frames, options)
            return picture.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    except VideoError:
        raise
    # Pillow raises many kinds of errors on hostile files.
    except Exception as error:
        raise VideoError(f"{path} cannot be read: {type(error).__name__}", "unpack it again") from error
