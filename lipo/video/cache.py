"""Decoded frames on disk, so that no clip is decoded twice."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

from lipo.common import LipoError, atomic_directory, atomic_write, sha256_file
from lipo.video._worker import DecodingProcess
from lipo.video.decode import VideoError, decode_clip
from lipo.video.pictures import decode_pictures, picture_files
from lipo.video.sampling import FrameOptions, Part

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
    def key(self) -> str:
        """Hash of the video's content, the part of it, and the options."""
        return self.frames[0].parent.name

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

    def _folder(self, video: Path, part: Part) -> Path:
        wanted = [_VERSION, self._content(video), asdict(self._options)]
        wanted += [asdict(part)] if part != Part() else []
        return self._directory / hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()[:32]

    def _content(self, video: Path) -> str:
        """Hash a video, once while it keeps its size and time of change; reading hundreds of gigabytes takes long."""
        if video.is_dir():
            told = "".join(f"{path.name}\0{sha256_file(path)}\n" for path in picture_files(video))
            return hashlib.sha256(told.encode()).hexdigest()
        state = video.stat()
        place = str(video.resolve())
        stamp = [place, state.st_size, state.st_mtime_ns]
        note = self._directory / "hashes" / f"{hashlib.sha256(place.encode()).hexdigest()[:32]}.json"
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            known = json.loads(note.read_text("utf-8"))
            if known["stamp"] == stamp:
                return str(known["sha256"])
        digest = sha256_file(video)
        # Only spares time; a full disk is told of where frames are written.
        with contextlib.suppress(OSError), atomic_write(note) as file:
            json.dump({"stamp": stamp, "sha256": digest}, file)
        return digest

    def get(self, video: Path, part: Part | None = None) -> CachedClip:
        """Return a clip's frames; decodes them only if no clip of that content is in the cache yet.

        Args:
            video: Path of the file, or of a folder of pictures in the order of their names.
            part: Take the frames from this part only; None for the whole clip.

        Returns:
            Paths of the frames, which are whole files.

        Raises:
            VideoError: Missing, empty, cut off, no readable video, or one that the decoder does not get through.
            LipoError: The cache cannot be written.
        """
        if not video.exists():
            raise VideoError(f"no video at {video}", "correct the path")
        part = part or Part()
        folder = self._folder(video, part)
        if not (folder / _DESCRIPTION).exists():
            if self._seconds is None:
                self._fill_once(folder, video, part)
            else:
                self._process(self._seconds).decode(video, part)
        return _load(folder)

    def _process(self, seconds: float) -> DecodingProcess:
        """This thread's decoder; it ends with the thread."""
        if not hasattr(self._own, "process"):
            self._own.process = DecodingProcess(self._directory, self._options, seconds, self._memory_mb)
        process: DecodingProcess = self._own.process
        return process

    def _fill_once(self, folder: Path, video: Path, part: Part) -> None:
        lock = self._directory / f"{folder.name}.lock"
        with lock.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not folder.exists():
                self._fill(folder, video, part)
        lock.unlink(missing_ok=True)

    def _fill(self, folder: Path, video: Path, part: Part) -> None:
        options = self._options
        clip = (decode_pictures if video.is_dir() else decode_clip)(video, options, part)
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
