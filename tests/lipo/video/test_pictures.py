import numpy as np
import pytest
from PIL import Image

from lipo.video import FrameCache, FrameOptions, Part, VideoError, decode_clip, decode_pictures


@pytest.fixture
def film(tmp_path):
    """Thirty pictures at three a second: ten seconds; picture i is a grey of 8 i."""
    folder = tmp_path / "film"
    folder.mkdir()
    for i in range(30):
        Image.new("RGB", (112, 56), (8 * i,) * 3).save(folder / f"{i + 1:05d}.jpg")
    return folder


def _greys(clip):
    return [round(int(np.asarray(frame).mean()) / 8) for frame in clip.frames]


def test_pictures_in_the_order_of_their_numbers(film):
    clip = decode_pictures(film, FrameOptions(frames=4))
    assert _greys(clip) == [0, 9, 19, 29]
    assert clip.times == pytest.approx([0, 3, 19 / 3, 29 / 3]) and clip.duration == pytest.approx(10)
    for path in sorted(film.iterdir()):
        path.rename(film / f"frame{int(path.stem)}.jpg")
    assert _greys(decode_pictures(film, FrameOptions(frames=4))) == [0, 9, 19, 29]


def test_a_part_of_a_film_and_of_a_file(film, tmp_path, write_clip):
    part = Part(2.0, 4.0)
    assert _greys(decode_pictures(film, FrameOptions(frames=3), part)) == [6, 9, 12]
    clip = decode_clip(write_clip(tmp_path / "a.mp4", value=lambda i: 6 * i), FrameOptions(frames=3), Part(1.0, 2.0))
    assert clip.times == pytest.approx([1.0, 1.5, 2.0])
    assert [int(np.asarray(frame).mean()) for frame in clip.frames] == pytest.approx([60, 90, 120], abs=4)
    with pytest.raises(VideoError, match=r"asked for: 50 s to 60 s, last frame at 3\.9 s"):
        decode_clip(tmp_path / "a.mp4", None, Part(50, 60))


def test_parts_of_one_clip_are_kept_apart(film, tmp_path, write_clip):
    cache = FrameCache(tmp_path / "frames", FrameOptions(frames=3))
    video = write_clip(tmp_path / "a.mp4")
    whole, part = cache.get(video), cache.get(video, Part(1.0, 2.0))
    assert whole.times[-1] == pytest.approx(3.9, abs=0.01) and part.times[-1] == pytest.approx(2.0, abs=0.01)
    assert whole.key != part.key != cache.get(film, Part(1.0, 2.0)).key
    assert cache.get(video, Part()).key == whole.key


def test_a_changed_video_of_the_same_name_is_read_anew(tmp_path, write_clip):
    cache = FrameCache(tmp_path / "frames", FrameOptions(frames=3))
    first = cache.get(write_clip(tmp_path / "a.mp4"))
    assert cache.get(write_clip(tmp_path / "a.mp4", frames=20)).key != first.key


def test_broken_pictures_and_empty_folders_say_so(film, tmp_path):
    (film / "00001.jpg").write_bytes(b"no picture")
    with pytest.raises(VideoError, match=r"00001\.jpg cannot be read"):
        FrameCache(tmp_path / "frames").get(film)
    (tmp_path / "empty").mkdir()
    with pytest.raises(VideoError, match=r"holds no"):
        decode_pictures(tmp_path / "empty")
