import importlib
import json
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from lipo.video import FrameCache, FrameOptions, Question, VideoError
from lipo.video.prepare import main, prepare, video_path
from reward_fns import auto

ROWS = """video,frame_count,width,height,question,answer,qid,type,a0,a1,a2,a3,a4
one,40,112,56,what moves,1,0,CH,a dog,a ball,a car,a cat,a man
one,40,112,56,where does it go,0,1,TN,left,right,up,down,nowhere
broken,40,112,56,what moves,1,2,CH,a dog,a ball,a car,a cat,a man
../one,40,112,56,what moves,1,3,CH,a dog,a ball,a car,a cat,a man
long,40,112,56,what moves,1,4,CH,a dog,a ball,a car,a cat,a man
"""


@pytest.fixture
def data(tmp_path, write_clip):
    """Three videos, one of them empty, and annotations of five questions."""
    videos = tmp_path / "videos"
    videos.mkdir()
    write_clip(videos / "one.mp4")
    write_clip(videos / "long.mp4", frames=120)
    (videos / "broken.mp4").write_bytes(b"")
    write_clip(tmp_path / "one.mp4")
    (tmp_path / "val.csv").write_text(ROWS)
    return tmp_path


def run(data, *more, annotations="val.csv", name="nextqa"):
    out = data / "out.parquet"
    main(
        [
            *("--annotations", str(data / annotations), "--format", name, "--videos", str(data / "videos")),
            *("--cache", str(data / "frames"), "--out", str(out), "--frames", "4", *more),
        ]
    )
    return pd.read_parquet(out)


def test_rows_for_reinforcement_learning(data, capsys):
    table = run(data, "--longest", "10", "--split", "validation")
    assert "2 questions; left out: 2 x unreadable video; 1 x longer than allowed" in capsys.readouterr().out
    row = table.iloc[0]
    (message,) = row.prompt
    assert message["content"] == (
        "<video>What moves?\nA. a dog\nB. a ball\nC. a car\nD. a cat\nE. a man\n"
        "Output the thinking process in <think> </think> and final answer (option) in <answer> </answer> tags."
    )
    (video,) = row.videos
    paths = [Path(uri.removeprefix("file://")) for uri in video["video"]]
    assert len(paths) == 4 and all(path.is_file() and path.is_absolute() for path in paths)
    with Image.open(paths[0]) as frame:
        assert frame.size == (video["resized_width"], video["resized_height"]) == (112, 56)
    assert video["sample_fps"] == pytest.approx(3 / 3.9, abs=0.01)
    assert row.reward_model["ground_truth"] == "B" and row.extra_info["split"] == "validation"
    assert row.extra_info["kind"] == "CH" and row.extra_info["duration"] == pytest.approx(4.0)
    # Two questions about one video share its frames.
    assert list(table.iloc[1].videos[0]["video"]) == list(video["video"])


def test_the_reward_takes_the_row(data):
    row = run(data, "--mode", "option").iloc[0]
    assert "letter of the right option" in row.prompt[0]["content"]
    for answer, expected in (("B", 1.0), ("a ball", 1.0), ("C", 0.0)):
        text = f"<think>so</think><answer>{answer}</answer>"
        result = auto.compute_score(row.data_source, text, row.reward_model["ground_truth"], row.extra_info)
        assert result["acc"] == expected


def test_rows_for_a_cold_start(data):
    turns = [
        {"from": "human", "value": "<image>\nwhat moves?\nA. a dog\nB. a ball"},
        {"from": "gpt", "value": "<think>It is round.</think><answer>B</answer>"},
    ]
    (data / "cold.json").write_text(json.dumps([{"video": "one.mp4", "conversations": turns}] * 16))
    table = run(data, annotations="cold.json", name="cold_start")
    assert len(table) == 16 and "prompt" not in table
    user, assistant = table.iloc[0].messages
    assert user["role"] == "user" and user["content"].startswith("<video>what moves?\nA. a dog\nB. a ball\nOutput")
    assert assistant == {"role": "assistant", "content": "<think>It is round.</think><answer>B</answer>"}
    assert len(table.iloc[0].videos) == 1


def test_videos_stay_in_their_folder(tmp_path):
    assert video_path(tmp_path, "a/b.mp4") == (tmp_path / "a" / "b.mp4").resolve()
    for name in ("../x.mp4", "/etc/passwd", "a/../../x.mp4"):
        with pytest.raises(VideoError, match="leads out"):
            video_path(tmp_path, name)


def test_errors_come_in_two_lines_before_any_file(data, capsys):
    (data / "bad.csv").write_text(ROWS.splitlines()[0] + "\nnone,1,1,1,q,1,0,CH,a,b,c,d,e\n")
    with pytest.raises(SystemExit) as stopped:
        run(data, annotations="bad.csv")
    assert stopped.value.code == 2
    assert capsys.readouterr().err == "no question is left: 1 x unreadable video\ncheck --videos\n"
    assert not (data / "out.parquet").exists()


def test_prepare_keeps_the_order(data):
    questions = [Question(f"{name}.mp4", name, ("a", "b"), "A", name) for name in ("long", "one", "long")]
    prepared = prepare(questions, data / "videos", FrameCache(data / "frames", FrameOptions(frames=2)), source="nextqa")
    assert [row["extra_info"]["question"] for row in prepared.rows] == ["long", "one", "long"]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_verl_reads_the_rows(data):
    """verl's own data set makes messages of the column, and Qwen's reader makes pictures of the messages."""
    omegaconf = importlib.import_module("omegaconf")
    dataset = importlib.import_module("verl.utils.dataset.rl_dataset")
    transformers = importlib.import_module("transformers")
    reader = importlib.import_module("qwen_vl_utils")
    run(data)
    processor = transformers.AutoProcessor.from_pretrained("recipes/tiny/base")
    config = omegaconf.OmegaConf.create({"filter_overlong_prompts": False, "cache_dir": str(data / "cache")})
    rows = dataset.RLHFDataset(str(data / "out.parquet"), processor.tokenizer, config, processor)
    _, videos = reader.process_vision_info(rows[0]["raw_prompt"], return_video_metadata=True)
    ((pictures, metadata),) = videos
    assert pictures.shape == (4, 3, 56, 112)
    assert metadata["fps"] == pytest.approx(3 / 3.9, abs=0.01)
    assert pictures.mean(dim=(1, 2, 3)).tolist() == pytest.approx([0, 78, 156, 234], abs=5)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_verl_learns_from_the_responses_of_a_cold_start(data):
    """verl's supervised data set: frames for the model, and the loss on the response alone."""
    omegaconf = importlib.import_module("omegaconf")
    dataset = importlib.import_module("verl.utils.dataset.multiturn_sft_dataset")
    transformers = importlib.import_module("transformers")
    response = "<think>It is round.</think><answer>B</answer>"
    turns = [
        {"from": "human", "value": "<image>\nwhat moves?\nA. a dog\nB. a ball"},
        {"from": "gpt", "value": response},
    ]
    (data / "cold.json").write_text(json.dumps([{"video": "one.mp4", "conversations": turns}] * 2))
    run(data, annotations="cold.json", name="cold_start")
    processor = transformers.AutoProcessor.from_pretrained("recipes/tiny/base")
    config = omegaconf.OmegaConf.create({"pad_mode": "no_padding", "truncation": "error", "max_length": 400})
    rows = dataset.MultiTurnSFTDataset(str(data / "out.parquet"), processor.tokenizer, config, processor=processor)
    learnt = rows[0]["input_ids"][rows[0]["loss_mask"].bool()]
    assert processor.tokenizer.decode(learnt).strip() == f"{response}<|im_end|>"
    # 4 frames, two of which share their 4 x 8 patches of 14 pixels.
    assert rows[0]["multi_modal_inputs"]["pixel_values_videos"].shape[0] == 2 * 4 * 8
