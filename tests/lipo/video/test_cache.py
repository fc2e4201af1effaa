import concurrent.futures
import functools
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from lipo.video import FrameCache, FrameOptions, VideoError, cache, decode_clip


@pytest.fixture
def decodings(monkeypatch):
    """Counts how often a clip is decoded, in this process."""
    seen = []

    def counting(path, options=None, part=None):
        seen.append(path.name)
        return decode_clip(path, options, part)

    monkeypatch.setattr(cache, "decode_clip", counting)
    monkeypatch.setattr(cache, "FrameCache", functools.partial(FrameCache, seconds=None))
    return seen


def test_frames_are_files_of_the_size_told(tmp_path, write_clip):
    video = write_clip(tmp_path / "clip.mp4")
    clip = FrameCache(tmp_path / "frames", FrameOptions(frames=4, encoding="png")).get(video)
    assert [frame.suffix for frame in clip.frames] == [".png"] * 4
    for path, frame in zip(clip.frames, decode_clip(video, FrameOptions(frames=4)).frames, strict=True):
        with Image.open(path) as stored:
            assert stored.size == (clip.width, clip.height) == (112, 56)
            assert np.array_equal(np.asarray(stored), np.asarray(frame))
    assert clip.sample_fps == pytest.approx(3 / 3.9, abs=0.01)
    assert clip.duration == pytest.approx(4.0, abs=0.01)


def test_no_clip_is_decoded_twice(tmp_path, write_clip, decodings):
    video = write_clip(tmp_path / "clip.mp4")
    first = cache.FrameCache(tmp_path / "frames").get(video)
    shutil.copy(video, tmp_path / "same.mp4")
    assert cache.FrameCache(tmp_path / "frames").get(video) == first
    assert cache.FrameCache(tmp_path / "frames").get(tmp_path / "same.mp4") == first
    assert decodings == ["clip.mp4"]


def test_other_content_or_options_are_other_frames(tmp_path, write_clip, decodings):
    video, other = write_clip(tmp_path / "a.mp4"), write_clip(tmp_path / "b.mp4", frames=20)
    found = [
        cache.FrameCache(tmp_path / "frames").get(video),
        cache.FrameCache(tmp_path / "frames").get(other),
        cache.FrameCache(tmp_path / "frames", FrameOptions(frames=4)).get(video),
    ]
    assert len({clip.frames for clip in found}) == 3 == len(decodings)


def test_many_at_once_decode_once(tmp_path, write_clip, decodings):
    video = write_clip(tmp_path / "clip.mp4")
    with concurrent.futures.ThreadPoolExecutor(8) as executor:
        found = list(executor.map(lambda _: cache.FrameCache(tmp_path / "frames").get(video), range(16)))
    assert len({clip.frames for clip in found}) == 1 and decodings == ["clip.mp4"]
    assert {path.suffix for path in (tmp_path / "frames").iterdir()} == {""}


def test_a_broken_clip_leaves_nothing(tmp_path):
    (tmp_path / "clip.mp4").write_bytes(b"")
    with pytest.raises(VideoError, match="empty"):
        FrameCache(tmp_path / "frames").get(tmp_path / "clip.mp4")
    with pytest.raises(VideoError, match="no video at"):
        FrameCache(tmp_path / "frames").get(tmp_path / "none.mp4")
    assert [path.name for path in (tmp_path / "frames").iterdir() if path.is_dir()] == ["hashes"]


def test_names_in_a_description_cannot_lead_out(tmp_path, write_clip):
    video = write_clip(tmp_path / "clip.mp4")
    clip = FrameCache(tmp_path / "frames").get(video)
    told = clip.frames[0].parent / "clip.json"
    told.write_text(json.dumps({**json.loads(told.read_text()), "frames": ["../../../etc/passwd"]}))
    assert FrameCache(tmp_path / "frames").get(video).frames[0].parent == clip.frames[0].parent
