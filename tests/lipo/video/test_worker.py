import gc
import shutil
import subprocess
import sys
import threading
import time

import psutil
import pytest

from lipo.common import LipoError
from lipo.video import FrameCache, FrameOptions, VideoError


def decoders():
    """Decoding processes of this one."""
    found = [p for p in psutil.Process().children() if p.status() != psutil.STATUS_ZOMBIE]
    return [p for p in found if "lipo.video._worker" in " ".join(p.cmdline())]


def test_one_process_serves_many_videos_and_ends_with_its_cache(tmp_path, write_clip):
    videos = [write_clip(tmp_path / f"{i}.mp4", frames=10 + i) for i in range(3)]
    (tmp_path / "broken.mp4").write_bytes(b"")
    cache = FrameCache(tmp_path / "frames", FrameOptions(frames=2))
    assert decoders() == []
    assert all(len(cache.get(video).frames) == 2 for video in videos)
    with pytest.raises(VideoError, match=r"broken\.mp4 is empty"):
        cache.get(tmp_path / "broken.mp4")
    assert len(cache.get(videos[0]).frames) == 2
    (process,) = decoders()
    del cache
    assert not psutil.wait_procs([process], timeout=10)[1]


def test_a_disk_that_takes_no_frames_is_no_fault_of_the_video(tmp_path, write_clip):
    cache = FrameCache(tmp_path / "frames", FrameOptions(frames=2))
    cache.get(write_clip(tmp_path / "first.mp4"))
    shutil.rmtree(tmp_path / "frames")
    (tmp_path / "frames").touch()
    with pytest.raises(LipoError, match=r"cannot keep frames in .*frames: Not a directory") as error:
        cache.get(write_clip(tmp_path / "second.mp4", frames=20))
    assert not isinstance(error.value, VideoError)
    # Its traceback holds the decoder.
    del error, cache
    gc.collect()
    assert decoders() == []


@pytest.fixture
def stopped(tmp_path, write_clip):
    """A cache whose decoder has been suspended, as if it hung; and a video that it does not know yet."""
    cache = FrameCache(tmp_path / "frames", FrameOptions(frames=2), seconds=60.0)
    cache.get(write_clip(tmp_path / "first.mp4"))
    cache._own.process._seconds = 1.0
    (process,) = decoders()
    process.suspend()
    return cache, process, write_clip(tmp_path / "second.mp4", frames=20)


def test_a_video_that_takes_too_long_is_given_up_and_the_next_is_decoded(stopped):
    cache, process, video = stopped
    with pytest.raises(VideoError, match=r"second\.mp4 takes more than 1 s"):
        cache.get(video)
    assert not process.is_running()
    cache._own.process._seconds = 60.0
    assert len(cache.get(video).frames) == 2


def test_a_crash_of_the_decoder_costs_one_video(stopped):
    cache, process, video = stopped
    # What a fault in FFmpeg does.
    threading.Timer(0.2, process.kill).start()
    with pytest.raises(VideoError, match=r"second\.mp4 ended the decoder"):
        cache.get(video)
    cache._own.process._seconds = 60.0
    assert len(cache.get(video).frames) == 2


def test_a_decoder_lost_between_two_videos_is_replaced(stopped):
    cache, process, video = stopped
    process.kill()
    process.wait(10)
    cache._own.process._seconds = 60.0
    assert len(cache.get(video).frames) == 2


def test_memory_is_limited(tmp_path, write_clip):
    video = write_clip(tmp_path / "clip.mp4")
    with pytest.raises(VideoError, match="ended the decoder"):
        FrameCache(tmp_path / "frames", memory_mb=64).get(video)


_PARENT = """
import sys, time
from pathlib import Path
from lipo.video import FrameCache
cache = FrameCache(Path(sys.argv[2]))
cache.get(Path(sys.argv[1]))
print("ready", flush=True)
time.sleep(60)
"""


def test_no_decoder_outlives_a_killed_parent(tmp_path, write_clip):
    video = write_clip(tmp_path / "clip.mp4")
    parent = subprocess.Popen([sys.executable, "-c", _PARENT, video, tmp_path / "frames"], stdout=subprocess.PIPE)
    assert parent.stdout.readline() == b"ready\n"
    children = psutil.Process(parent.pid).children()
    assert len(children) == 1
    parent.kill()
    parent.wait(10)
    deadline = time.monotonic() + 10
    while children[0].is_running() and children[0].status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not children[0].is_running() or children[0].status() == psutil.STATUS_ZOMBIE
    parent.stdout.close()
