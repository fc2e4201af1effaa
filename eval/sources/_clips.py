"""Clips of a benchmark: where they are, and their frames, decoded once and kept on disk."""

from __future__ import annotations

import concurrent.futures
import hashlib
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

from lipo.common import LipoError
from lipo.video import FrameCache, FrameOptions, Part, VideoError

_WHOLE = Part()


class FrameFiles(Sequence[bytes]):
    """Encoded frames, read when they are used; crosses process borders as a plain tuple of bytes."""

    def __init__(self, paths: Iterable[Path]) -> None:
        """Refer to files."""
        self._paths = tuple(paths)

    @overload
    def __getitem__(self, place: int) -> bytes: ...
    @overload
    def __getitem__(self, place: slice) -> FrameFiles: ...
    def __getitem__(self, place: int | slice) -> bytes | FrameFiles:
        if isinstance(place, slice):
            return FrameFiles(self._paths[place])
        return self._paths[place].read_bytes()

    def __len__(self) -> int:
        return len(self._paths)

    def __iter__(self) -> Iterator[bytes]:
        return (path.read_bytes() for path in self._paths)

    def __reduce__(self) -> tuple[type[tuple], tuple[list[bytes]]]:
        return tuple, (list(self),)


@dataclass(frozen=True)
class Clip:
    """What the model gets to see of a video."""

    frames: Sequence[bytes]
    """Encoded pictures of one size."""
    times: tuple[float, ...]
    """Seconds from the beginning of the video."""
    fps: float
    """Frames a second among these."""
    width: int
    """Pixels."""
    height: int
    key: str
    """Hash of the video's content, the part of it that was taken, and how frames were chosen."""


@dataclass(frozen=True)
class VideoFile:
    """A video, or a part of it."""

    path: Path
    part: Part = _WHOLE


@dataclass(frozen=True)
class FrameList:
    """Frames that were decoded before, as :mod:`lipo.video.prepare` lists them."""

    paths: tuple[Path, ...]
    fps: float


ClipSource = VideoFile | FrameList


class ClipReader:
    """Turns videos into frames.

    Args:
        directory: Where frames are kept; made when the first video is decoded.
        options: Which frames, how large.
    """

    def __init__(self, directory: Path, options: FrameOptions | None = None) -> None:
        """Take note; nothing is read yet."""
        self._directory, self._options = directory, options or FrameOptions()
        self._cache: FrameCache | None = None

    def read(self, sources: Iterable[ClipSource]) -> dict[ClipSource, Clip | str]:
        """Read clips, each once; several are decoded at a time.

        Args:
            sources: Which.

        Returns:
            The clip of each, or why there is none.

        Raises:
            LipoError: The frames cannot be kept.
        """
        wanted = list(dict.fromkeys(sources))
        if not wanted:
            return {}
        from rich.progress import track

        if self._cache is None:
            try:
                self._cache = FrameCache(self._directory, self._options)
            except OSError as error:
                raise LipoError(f"cannot keep frames in {self._directory}: {error}", "set 'frames_dir'") from error
        executor = concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0)))
        try:
            clips = executor.map(self._read, wanted)
            # Hours of decoding should be seen on a terminal, but not in a log.
            shown = track(clips, "frames of videos", len(wanted), disable=not sys.stderr.isatty(), transient=True)
            return dict(zip(wanted, shown, strict=True))
        finally:
            # An interruption does not wait for the videos that have not begun.
            executor.shutdown(cancel_futures=True)

    def _read(self, source: ClipSource) -> Clip | str:
        try:
            return self._decode(source) if isinstance(source, VideoFile) else _collect(source)
        except VideoError as error:
            place = source.path if isinstance(source, VideoFile) else source.paths[0].parent
            # The same words wherever the data lie, as they are part of what names an answer.
            said = error.what.replace(str(place), "").strip(" /")
            return f"the video {said}: {place.name}"
        except (OSError, ValueError) as error:
            return f"the video cannot be read: {error}"

    def _decode(self, source: VideoFile) -> Clip:
        if self._cache is None:
            raise ValueError("no place for frames")
        found = self._cache.get(source.path, source.part)
        return Clip(FrameFiles(found.frames), found.times, found.sample_fps, found.width, found.height, found.key)


def _collect(source: FrameList) -> Clip:
    from PIL import Image

    digest = hashlib.sha256(f"{source.fps!r}".encode())
    for path in source.paths:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    with Image.open(source.paths[0], formats=("JPEG", "PNG")) as first:
        width, height = first.size
    times = tuple(i / source.fps for i in range(len(source.paths)))
    return Clip(FrameFiles(source.paths), times, source.fps, width, height, digest.hexdigest()[:32])


def inside(root: Path, name: str) -> Path:
    """Find a file below a folder.

    Raises:
        ValueError: The name leads out of it.
    """
    path = (root / name.removeprefix("file://")).resolve()
    if not path.is_relative_to(root.resolve()):
        raise ValueError(f"video path {name[:200]!r} leaves {root}; set image_root to allow it")
    return path


def locate_verl(row: Mapping[str, Any], root: Path) -> ClipSource | None:
    """Find the video of a row in verl's format.

    Args:
        row: Column ``videos``: ``[{"video": path}]``, ``[path]``, or ``[{"video": [frames], "sample_fps": f}]``.
        root: Folder that paths must stay in.

    Returns:
        Where it is; None where the row has none.

    Raises:
        ValueError: Several videos, or something else.
    """
    videos = row.get("videos")
    if videos is None or (isinstance(videos, list) and not videos):
        return None
    if not isinstance(videos, list) or len(videos) > 1:
        raise ValueError("the column videos is not a list of one video")
    video, fps = videos[0], 2.0
    if isinstance(video, dict):
        fps = video.get("sample_fps") or fps
        video = video.get("video")
    if isinstance(video, list) and video and all(isinstance(frame, str) for frame in video):
        if not isinstance(fps, int | float) or not fps > 0:
            raise ValueError(f"sample_fps is {fps!r}")
        paths = tuple(inside(root, frame) for frame in video)
        missing = next((path for path in paths if not path.is_file()), None)
        if missing is not None:
            raise ValueError(f"no frame at {missing}")
        return FrameList(paths, float(fps))
    if not isinstance(video, str) or not video:
        raise ValueError("a video is neither a path nor a list of frames")
    return VideoFile(inside(root, video))
