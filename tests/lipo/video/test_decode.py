import contextlib
import subprocess
import sys
import time

import av
import numpy as np
import pytest

from lipo.video import FrameOptions, VideoError, decode_clip

SUFFIXES = [".mp4", ".mov", ".webm", ".mkv", ".gif", ".avi"]


def greys(clip):
    return [int(np.asarray(frame).mean()) for frame in clip.frames]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_right_frames_of_every_format(tmp_path, write_clip, suffix):
    path = write_clip(tmp_path / f"clip{suffix}")
    clip = decode_clip(path, FrameOptions(frames=4))
    assert clip.times == pytest.approx([0.0, 1.3, 2.6, 3.9], abs=0.01)
    assert (clip.total, clip.duration) == (40, pytest.approx(4.0, abs=0.01))
    # rgb8, which gifs are drawn with here, has 8 levels of red and green, 4 of blue.
    assert greys(clip) == pytest.approx([0, 78, 156, 234], abs=20 if suffix == ".gif" else 4)
    assert {frame.size for frame in clip.frames} == {(112, 56)} and clip.frames[0].mode == "RGB"


def test_content_decides_the_format_not_the_name(tmp_path, write_clip):
    path = write_clip(tmp_path / "clip.webm").rename(tmp_path / "clip.mp4")
    assert decode_clip(path).total == 40


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".mkv"])
def test_seeking_gives_the_same_frames_as_decoding_all(tmp_path, write_clip, suffix, monkeypatch):
    path = write_clip(tmp_path / f"clip{suffix}", frames=500, value=lambda i: i // 2, key_every=50)
    for frames in (2, 3, 7):
        with_seeking = decode_clip(path, FrameOptions(frames=frames))
        with monkeypatch.context() as patch:
            patch.setattr("lipo.video.decode._WORTH_SEEKING", 10**9)
            without = decode_clip(path, FrameOptions(frames=frames))
        assert with_seeking.times == without.times
        assert greys(with_seeking) == greys(without)
        assert greys(with_seeking) == pytest.approx([round(t * 10) // 2 for t in with_seeking.times], abs=3)


def test_frames_shrink_into_the_budget(tmp_path, write_clip):
    path = write_clip(tmp_path / "clip.mp4", size=(640, 360))
    clip = decode_clip(path, FrameOptions(frames=8, total_pixels=8 * 28 * 28 * 8))
    assert clip.frames[0].size == (112, 56)


def test_a_turned_clip_stands_upright(tmp_path, write_clip):
    path = write_clip(tmp_path / "clip.mp4", size=(112, 56))
    turned = tmp_path / "turned.mp4"
    with av.open(str(path)) as source, av.open(str(turned), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        stream.set_display_rotation(90) if hasattr(stream, "set_display_rotation") else pytest.skip(
            "PyAV cannot write it"
        )
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    assert decode_clip(turned).frames[0].size == (56, 112)


BROKEN = {
    "empty": lambda data: b"",
    "beginning only": lambda data: data[:300],
    "first half": lambda data: data[: len(data) // 2],
    "text": lambda data: b"not a video at all",
    "zeros": lambda data: bytes(5000),
    "header and noise": lambda data: data[:64] + np.random.default_rng(0).bytes(20_000),
    "playlist": lambda data: b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
}


@pytest.mark.parametrize("how", BROKEN)
@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".gif"])
def test_broken_files_are_refused_with_a_reason(tmp_path, write_clip, suffix, how):
    path = write_clip(tmp_path / f"clip{suffix}")
    path.write_bytes(BROKEN[how](path.read_bytes()))
    if how == "first half" and suffix != ".mp4":
        # These formats hold their frames in order and tell no number: half of them is a shorter clip.
        assert 0 < decode_clip(path).total < 40
        return
    with pytest.raises(VideoError, match=path.name):
        decode_clip(path)


def test_a_missing_file_and_one_without_pictures(tmp_path):
    with pytest.raises(VideoError, match="no video at"):
        decode_clip(tmp_path / "none.mp4")
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        for packet in [*stream.encode(frame), *stream.encode()]:
            container.mux(packet)
    with pytest.raises(VideoError, match="no video stream"):
        decode_clip(tmp_path / "sound.mp4")


def test_random_damage_never_raises_anything_else(tmp_path, write_clip):
    data = bytearray(write_clip(tmp_path / "clip.mp4").read_bytes())
    random = np.random.default_rng(1)
    for _ in range(100):
        damaged = data.copy()
        for place in random.integers(0, len(damaged), 20):
            damaged[place] = random.integers(0, 256)
        (tmp_path / "damaged.mp4").write_bytes(damaged)
        start = time.process_time()
        with contextlib.suppress(VideoError):
            assert decode_clip(tmp_path / "damaged.mp4", FrameOptions(frames=4)).frames
        assert time.process_time() - start < 5


_PEAK = """
import resource, sys
from pathlib import Path
from lipo.video import FrameOptions, decode_clip
peaks = []
for name in sys.argv[1:]:
    clip = decode_clip(Path(name), FrameOptions(frames=16))
    assert len(clip.frames) == 16
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
print(clip.total, *peaks)
"""


def test_ten_thousand_frames_take_no_more_memory_than_twenty(tmp_path, write_clip):
    size = (224, 112)
    short = write_clip(tmp_path / "short.mp4", frames=20, size=size)
    # 750 MB, were they all kept.
    long = write_clip(tmp_path / "long.mp4", frames=10_000, size=size, value=lambda i: i // 50)
    done = subprocess.run([sys.executable, "-c", _PEAK, short, long], capture_output=True, text=True, check=True)
    total, before, after = map(int, done.stdout.split())
    assert total == 10_000
    # Kilobytes; 16 frames of 224 x 112 are 1.2 MB, and their index less than one.
    assert after - before < 16_000
