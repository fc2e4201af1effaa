"""Decoding in a process of its own: a file on which FFmpeg crashes, hangs or grows costs that process, not the caller.

Protocol, one JSON value per line. In: first ``[directory, options, memory in MiB]``, then ``[path, part]`` of a video
each. Out: ``null`` once its frames are in the cache, ``[what, fix]``, or ``[what, fix, "cache"]`` where the fault lies
with the cache's disk.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import json
import os
import resource
import select
import signal
import subprocess
import sys
import time
import weakref
from pathlib import Path
from typing import IO

from lipo.common import LipoError, parse
from lipo.video.decode import VideoError
from lipo.video.sampling import FrameOptions, Part

_PR_SET_PDEATHSIG = 1


class DecodingProcess:
    """One process that fills a frame cache; started at the first video, and again after it was lost.

    Args:
        directory: Of the cache.
        options: Which frames, how large.
        seconds: A video that takes longer is given up.
        memory_mb: Address space of the process in MiB.
    """

    def __init__(self, directory: Path, options: FrameOptions, seconds: float, memory_mb: int) -> None:
        self._first = [str(directory.resolve()), dataclasses.asdict(options), memory_mb]
        self._seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            # The same packages as here, whatever the working directory is later.
            path = os.pathsep.join(str(Path(entry).resolve()) for entry in sys.path)
            self._process = subprocess.Popen(
                [sys.executable, "-m", "lipo.video._worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": path},
            )
            # A thread that ends takes its decoder with it, and so does the interpreter.
            weakref.finalize(self, _end, self._process)
            self._send(self._process, self._first)
        return self._process

    @staticmethod
    def _send(process: subprocess.Popen[bytes], value: object) -> None:
        stdin = process.stdin
        if stdin is not None:
            stdin.write((json.dumps(value) + "\n").encode())
            stdin.flush()

    def decode(self, video: Path, part: Part | None = None) -> None:
        """Put a video's frames, or those of a part of it, into the cache.

        Raises:
            VideoError: It cannot be read, or the decoder crashed, ran out of memory or took too long.
            LipoError: The cache cannot be written.
        """
        process, wanted = self._running(), [str(video.resolve()), dataclasses.asdict(part or Part())]
        try:
            self._send(process, wanted)
        except BrokenPipeError:
            # It was lost while idle, which says nothing about this video.
            self.stop()
            process = self._running()
            self._send(process, wanted)
        answer = _read_line(process.stdout, time.monotonic() + self._seconds)
        if answer is None:
            self.stop()
            raise VideoError(
                f"{video} takes more than {self._seconds:g} s to decode", "leave it out, or allow more time"
            )
        if not answer:
            self.stop()
            raise VideoError(f"{video} ended the decoder (a crash, or too much memory)", "leave it out")
        if (told := json.loads(answer)) is not None:
            raise (LipoError if told[2:] else VideoError)(*told[:2])

    def stop(self) -> None:
        """End the process; the next video starts another."""
        process, self._process = self._process, None
        if process is not None:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            # What was never sent to a process that is gone cannot be flushed either.
            with contextlib.suppress(BrokenPipeError):
                stream.close()
    process.wait()


def _read_line(stream: IO[bytes] | None, deadline: float) -> bytes | None:
    """Read one line; empty if the other side has ended, ``None`` if time is up."""
    received = b""
    descriptor = -1 if stream is None else stream.fileno()
    while not received.endswith(b"\n"):
        readable, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        if not readable:
            return None
        data = os.read(descriptor, 1 << 16)
        if not data:
            return b""
        received += data
    return received


def _serve() -> None:
    from lipo.video.cache import FrameCache

    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    directory, options, memory_mb = json.loads(sys.stdin.readline())
    resource.setrlimit(resource.RLIMIT_AS, (memory_mb << 20, memory_mb << 20))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    cache = FrameCache(Path(directory), parse(FrameOptions, options, "frames"), seconds=None)
    for line in sys.stdin:
        answer = None
        try:
            path, part = json.loads(line)
            cache.get(Path(path), Part(**part))
        except VideoError as error:
            answer = [error.what, error.fix]
        except OSError as error:
            # Not a fault of the video: every other would fail, too.
            what = f"cannot keep frames in {directory}: {error.strerror}"
            answer = [what, "free space, or choose another folder", "cache"]
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _serve()
