import pickle
import shutil

import pandas as pd
import pytest

from eval import BenchmarkConfig
from eval.sources import ClipReader, read_items
from lipo.video import FrameOptions
from recipes.tiny.clips import make_clip, write_clip
from recipes.tiny.make_video_data import make_table


@pytest.fixture
def reader(tmp_path):
    return ClipReader(tmp_path / "kept", FrameOptions(frames=4))


def _row(videos, text="<video>?"):
    prompt = [{"role": "user", "content": text}]
    return {"prompt": prompt, "videos": videos, "reward_model": {"ground_truth": "A"}, "data_source": "nextqa"}


def _write(path, rows):
    pd.DataFrame(rows).to_parquet(path)
    return BenchmarkConfig(path, "multiple_choice")


def test_frames_listed_by_the_converter_are_taken_as_they_are(tmp_path, reader):
    table = make_table("test", 3, tmp_path)
    path = tmp_path / "test.parquet"
    table.to_parquet(path)
    items = read_items("x", BenchmarkConfig(path, "video"), reader)
    assert [item.error for item in items] == [None] * 3
    clip = items[0].clip
    assert len(clip.frames) == 8 and (clip.width, clip.height) == (112, 56) and clip.fps == pytest.approx(7 / 3.875)
    assert not list((tmp_path / "kept").iterdir()), "nothing is decoded again"
    assert pickle.loads(pickle.dumps(clip.frames)) == tuple(clip.frames), "bytes go to the cluster, not paths"
    assert clip.frames[1:3][0] == clip.frames[1]
    again = read_items("x", BenchmarkConfig(path, "video"), reader)
    assert [item.content_hash for item in again] == [item.content_hash for item in items]


def test_rows_of_every_kind(tmp_path, reader):
    write_clip(make_clip("order", "test", 0), tmp_path / "a.mp4")
    (tmp_path / "b.mp4").write_bytes(b"")
    outside = tmp_path.parent / "outside.mp4"
    shutil.copy(tmp_path / "a.mp4", outside)
    rows = [
        _row([{"video": "a.mp4"}]),
        _row([{"video": "b.mp4"}]),
        _row([{"video": str(outside)}]),
        _row([{"video": "a.mp4"}, {"video": "a.mp4"}]),
        _row([{"video": "a.mp4"}], "no marker"),
        _row([{"video": "a.mp4"}], "<video><video>"),
        _row([]),
        _row([{"video": ""}]),
    ]
    items = read_items("x", _write(tmp_path / "q.parquet", rows), reader)
    assert items[0].error is None and len(items[0].clip.frames) == 4
    found = [item.error for item in items[1:]]
    wanted = [
        "the video is empty: b.mp4",
        "leaves",
        "not a list of one video",
        "another number of <video> markers",
        "another number of <video> markers",
        "0 video",
        "neither a path nor a list",
    ]
    assert [w for w, f in zip(wanted, found, strict=True) if w not in f] == []


def test_a_listed_frame_that_is_gone(tmp_path, reader):
    table = make_table("test", 3, tmp_path)
    rows = table.to_dict("records")
    frames = list(rows[0]["videos"][0]["video"])
    rows[0]["videos"][0] |= {"video": [*frames[:-1], "file:///nowhere/1.png"]}
    rows[1]["videos"][0] |= {"video": [*frames[:-1], frames[-1].replace("00007", "99999")]}
    pd.DataFrame(rows).to_parquet(tmp_path / "q.parquet")
    first, second, third = read_items("x", BenchmarkConfig(tmp_path / "q.parquet", "video"), reader)
    assert "leaves" in first.error and "no frame at" in second.error and third.error is None
