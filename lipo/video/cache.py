"""Decoded frames on disk, so that no clip is decoded twice."""

from __future__ import annotations

import fcntl
import hashlib
import json
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

from lipo.common import LipoError, atomic_directory, sha256_file
from lipo.video._worker import DecodingProcess
from lipo.video.decode import VideoError, decode_clip
from lipo.video.sampling import FrameOptions

_VERSION = 1
_DESCRIPTION = "clip.json"


@dataclass(frozen=True)
class CachedClip:
    """A clip's frames as files."""

    frames: tuple[Path, ...]
    times: tuple[float, ...]
    """Seconds from the beginning of the clip."""
    width: int
    height: int
    duration: float

    @property
    def sample_fps(self) -> float:
        """Frames a second among those kept; 2 for a single frame."""
        spread = self.times[-1] - self.times[0]
        return (len(self.times) - 1) / spread if spread > 0 else 2.0


class FrameCache:
    """Frames by content of the video and options.

    Args:
        directory: Where; made where absent. Several threads and processes may share it.
        options: Which frames, how large.
        seconds: Decode in a process of its own for each thread, and give a video up that takes longer; ``None`` decodes
            in this process, for videos that are trusted not to crash FFmpeg.
        memory_mb: Address space of such a process in MiB.
    """

    def __init__(
        self,
        directory: Path,
        options: FrameOptions | None = None,
        *,
        seconds: float | None = 120.0,
        memory_mb: int = 4096,
    ) -> None:
        self._directory, self._options = directory, options or FrameOptions()
        self._seconds, self._memory_mb = seconds, memory_mb
        self._own = threading.local()
        directory.mkdir(parents=True, exist_ok=True)

    def _folder(self, video: Path) -> Path:
        wanted = json.dumps([_VERSION, sha256_file(video), asdict(self._options)], sort_keys=True)
        return self._directory / hashlib.sha256(wanted.encode()).hexdigest()[:32]

    def get(self, video: Path) -> CachedClip:
        """Return a clip's frames; decodes them only if no clip of that content is in the cache yet.

        Args:
            video: Path of the file.

        Returns:
            Paths of the frames, which are whole files.

        Raises:
            VideoError: Missing, empty, cut off, no readable video, or one that the decoder does not get through.
        """
        if not video.is_file():
            raise VideoError(f"no video at {video}", "correct the path")
        folder = self._folder(video)
        if not (folder / _DESCRIPTION).exists():
            if self._seconds is None:
                self._fill_once(folder, video)
            else:
                self._process(self._seconds).decode(video)
        return _load(folder)

    def _process(self, seconds: float) -> DecodingProcess:
        """This thread's decoder; it ends with the thread."""
        if not hasattr(self._own, "process"):
            self._own.process = DecodingProcess(self._directory, self._options, seconds, self._memory_mb)
        process: DecodingProcess = self._own.process
        return process

    def _fill_once(self, folder: Path, video: Path) -> None:
        lock = self._directory / f"{folder.name}.lock"
        with lock.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not folder.exists():
                self._fill(folder, video)
        lock.unlink(missing_ok=True)

    def _fill(self, folder: Path, video: Path) -> None:
        clip, options = decode_clip(video, self._options), self._options
        with atomic_directory(folder) as work:
            names = [f"{i:05d}.{'jpg' if options.encoding == 'jpeg' else 'png'}" for i in range(len(clip.frames))]
            for name, frame in zip(names, clip.frames, strict=True):
                settings = {"quality": 95, "subsampling": 0} if options.encoding == "jpeg" else {}
                frame.save(work / name, options.encoding.upper(), **settings)
            width, height = clip.frames[0].size
            description = {"frames": names, "times": clip.times, "width": width, "height": height}
            (work / _DESCRIPTION).write_text(json.dumps({**description, "duration": clip.duration}), "utf-8")


def _load(folder: Path) -> CachedClip:
    try:
        told = json.loads((folder / _DESCRIPTION).read_text("utf-8"))
        frames = tuple(folder / Path(name).name for name in told["frames"])
        return CachedClip(frames, tuple(told["times"]), told["width"], told["height"], told["duration"])
    except (OSError, ValueError, KeyError) as error:
        raise LipoError(f"{folder} is no folder of frames", "remove it; it is made again") from error
