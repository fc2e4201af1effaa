"""Decode the chosen frames of a clip with PyAV; never more of them in memory than the budget allows."""

from __future__ import annotations

import contextlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import av
import av.error
import numpy as np
from PIL import Image

from lipo.common import LipoError
from lipo.video.sampling import FrameOptions, Part, choose_frames, find_part, frame_size

_MAX_PACKETS = 5_000_000
_MAX_SIDE = 16_384
_WORTH_SEEKING = 64
"""Frames that a jump to a key frame must save."""
# First bytes: which demuxer may read the file. Others (playlists, concatenations) could open further files or URLs.
_SIGNATURES = ((0, b"\x1a\x45\xdf\xa3", "matroska"), (0, b"GIF8", "gif"), (4, b"ftyp", "mp4"), (8, b"AVI ", "avi"))


class VideoError(LipoError):
    """A file is no readable video."""


@dataclass(frozen=True)
class Clip:
    """The frames that were kept."""

    frames: tuple[Image.Image, ...]
    times: tuple[float, ...]
    """Seconds from the first frame of the clip."""
    duration: float
    """Seconds from the first to the last frame of the file, and one frame more."""
    total: int
    """Frames of the file."""


@dataclass(frozen=True)
class _Index:
    """When the frames of a stream are shown, in its time base."""

    shown: list[int]
    keys: list[int]


def _container_format(file: IO[bytes]) -> str | None:
    head = file.read(16)
    file.seek(0)
    return next((name for at, magic, name in _SIGNATURES if head[at : at + len(magic)] == magic), None)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """Yield the container and its video stream; every failure of FFmpeg becomes a :class:`VideoError`."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise VideoError(f"no video at {path}", "correct the path") from error
    if not size:
        raise VideoError(f"{path} is empty", "download it again")
    with path.open("rb") as file:
        name = _container_format(file)
        if name is None:
            raise VideoError(f"{path} is no mp4, webm, mkv, avi or gif file", "convert it to one of these")
        try:
            with av.open(file, format=name) as container:
                stream = next(iter(container.streams.video), None)
                if stream is None or stream.codec_context is None:
                    raise VideoError(f"{path} has no video stream that FFmpeg knows", "convert it to mp4")
                width, height = stream.codec_context.width, stream.codec_context.height
                if not (0 < width <= _MAX_SIDE and 0 < height <= _MAX_SIDE):
                    raise VideoError(f"{path} has frames of {width} x {height}", f"at most {_MAX_SIDE} a side")
                # One clip, one core: several clips are decoded side by side.
                stream.codec_context.thread_count = 1
                yield container, stream
        except (av.error.FFmpegError, ValueError, OverflowError) as error:
            raise VideoError(f"{path} cannot be decoded: {error}", "download it again, or leave it out") from error


def _index(container: Any, stream: Any, path: Path) -> _Index:
    """Read when frames are shown, without decoding any."""
    shown, keys = [], []
    for packet in container.demux(stream):
        moment = packet.pts if packet.pts is not None else packet.dts
        if moment is None or not packet.size:
            continue
        shown.append(moment)
        if packet.is_keyframe:
            keys.append(moment)
        if len(shown) > _MAX_PACKETS:
            raise VideoError(f"{path} has more than {_MAX_PACKETS} frames", "cut it")
    if not shown:
        raise VideoError(f"{path} has no frames", "download it again")
    if len(shown) < 0.9 * stream.frames:
        raise VideoError(f"{path} is cut off: {len(shown)} of {stream.frames} frames", "download it again")
    return _Index(sorted(shown), sorted(keys))


def _pictures(container: Any, stream: Any, index: _Index, wanted: list[int]) -> Iterator[Any]:
    """Decode until each wanted moment, jumping to key frames where that saves work."""
    # A gif's frames are differences to those before, whatever its packets say.
    can_seek = container.format.name != "gif"
    container.seek(index.shown[0], stream=stream)
    decoder, frame = container.decode(stream), None
    for moment in wanted:
        at = index.shown[0] if frame is None else frame.pts
        before = bisect_right(index.keys, moment) - 1
        if can_seek and before >= 0:
            saved = bisect_left(index.shown, index.keys[before]) - bisect_right(index.shown, at)
            if saved > _WORTH_SEEKING:
                container.seek(index.keys[before], stream=stream)
                decoder = container.decode(stream)
        while frame is None or frame.pts is None or frame.pts < moment:
            following = next(decoder, None)
            if following is None:
                break
            frame = following
        if frame is None:
            raise ValueError("no frame could be decoded")
        yield frame


def _to_image(frame: Any, frames: int, options: FrameOptions) -> Image.Image:
    quarter_turns = round((frame.rotation or 0) / 90) % 4
    width, height = frame_size(frame.width, frame.height, frames, options)
    array: np.ndarray[Any, Any] = frame.reformat(width, height, "rgb24", interpolation="BICUBIC").to_ndarray()
    return Image.fromarray(np.ascontiguousarray(np.rot90(array, quarter_turns)))


def choose_part(times: Sequence[float], options: FrameOptions, part: Part, path: Path) -> list[int]:
    """Choose frames of a part of a clip.

    Args:
        times: (N,) seconds at which the clip's frames are shown, not decreasing.
        options: Which frames.
        part: The part.
        path: Of the clip, for messages.

    Returns:
        Indices into ``times``, increasing.

    Raises:
        VideoError: The clip has nothing there.
    """
    low, high = find_part(times, part)
    if low == high:
        end = "its end" if part.end is None else f"{part.end:g} s"
        what = f"{path} shows nothing in the part asked for: {part.start:g} s to {end}, last frame at {times[-1]:.1f} s"
        raise VideoError(what, "correct the times")
    return [low + i for i in choose_frames(times[low:high], options)]


def decode_clip(path: Path, options: FrameOptions | None = None, part: Part | None = None) -> Clip:
    """Decode the frames of a clip that the options ask for.

    Two passes: the first reads when frames are shown, without decoding; the second decodes up to each chosen one and
    shrinks it at once. So memory holds the chosen frames and one of full size, however long the clip.

    Args:
        path: A file of type mp4, mov, webm, mkv, avi or gif; hostile.
        options: Which frames, how large.
        part: Take the frames from this part only; None for the whole clip.

    Returns:
        The frames, RGB.

    Raises:
        VideoError: Missing, empty, cut off, or no readable video.
    """
    options = options or FrameOptions()
    with _opened(path) as (container, stream):
        index, base = _index(container, stream, path), float(stream.time_base)
        start = index.shown[0]
        times = [(moment - start) * base for moment in index.shown]
        chosen = choose_part(times, options, part or Part(), path)
        frames = tuple(
            _to_image(frame, len(chosen), options)
            for frame in _pictures(container, stream, index, [index.shown[i] for i in chosen])
        )
        step = times[-1] / (len(times) - 1) if len(times) > 1 else 0.0
        return Clip(frames, tuple(times[i] for i in chosen), times[-1] + step, len(times))
