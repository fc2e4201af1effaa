from pathlib import Path

import pytest
from PIL import Image

from recipes.tiny.make_video_data import make_table
from reward_fns import auto


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("video")


def test_rows_are_in_verls_format_and_scored_by_their_source(folder):
    table = make_table("test", 6, folder)
    assert {row.extra_info["kind"] for row in table.itertuples()} == {"order", "count", "direction"}
    for row in table.itertuples():
        (video,) = row.videos
        assert len(video["video"]) == 8
        with Image.open(Path(video["video"][0].removeprefix("file://"))) as frame:
            assert frame.size == (112, 56) == (video["resized_width"], video["resized_height"])
        assert (folder / "clips" / row.extra_info["video"]).is_file()
        right = f"<think>x</think><answer>{row.extra_info['answer']}</answer>"
        assert auto.compute_score(row.data_source, right, row.reward_model["ground_truth"], row.extra_info)["acc"] == 1


def test_cold_start_rows_hold_responses(folder):
    table = make_table("cold_start", 16, folder)
    assert len(table) == 16 and "prompt" not in table
    scores = []
    for row in table.itertuples():
        response, truth = row.messages[1]["content"], row.extra_info["answer"]
        scores.append(auto.compute_score("tiny/video", response, truth, row.extra_info, combination="weighted"))
    assert all(score["format"] == 1 for score in scores)
    assert 0.5 < sum(score["acc"] for score in scores) / 16 <= 1


def test_what_is_there_is_kept(folder):
    make_table("validation", 3, folder)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    make_table("validation", 3, folder)
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
