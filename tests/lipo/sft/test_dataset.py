"""A clip's frames lie at the same times as in rollouts, and only answers are trained."""

import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf
from verl.utils import hf_processor, hf_tokenizer

from lipo.sft.dataset import TimedDataset
from lipo.verl_plugin.video_positions import rope_index
from recipes.tiny.make_video_data import make_table
from recipes.tiny.train_base import BASE


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return make_table("cold_start", 3, tmp_path_factory.mktemp("clips"))


def dataset(table, folder):
    table.to_parquet(folder / "data.parquet")
    config = OmegaConf.create({"pad_mode": "no_padding", "max_length": 600})
    return TimedDataset(str(folder / "data.parquet"), hf_tokenizer(str(BASE)), config, hf_processor(str(BASE)))


@pytest.mark.parametrize("sample_fps", [None, 1.8064516, 2 / 0.35])
def test_positions_are_those_of_rollouts(table, tmp_path, sample_fps):
    if sample_fps:
        table = table.assign(videos=[[{**video, "sample_fps": sample_fps} for video in row] for row in table["videos"]])
    seconds = 2 / (sample_fps or table["videos"][0][0]["sample_fps"])
    processor = hf_processor(str(BASE))
    for row in dataset(table, tmp_path):
        inputs = row["multi_modal_inputs"]
        assert inputs["second_per_grid_ts"].tolist() == [pytest.approx(seconds)]
        kinds = 2 * (row["input_ids"] == processor.video_token_id).long()[None]
        expected, _ = rope_index(
            processor,
            row["input_ids"][None],
            kinds,
            video_grid_thw=inputs["video_grid_thw"],
            second_per_grid_ts=inputs["second_per_grid_ts"],
        )
        assert torch.equal(row["position_ids"][1:], expected[:, 0])


def test_only_the_answer_is_trained(table, tmp_path):
    tokenizer = hf_tokenizer(str(BASE))
    for row, messages in zip(dataset(table, tmp_path), table["messages"], strict=True):
        trained = tokenizer.decode(row["input_ids"][row["loss_mask"].bool()])
        assert trained.removesuffix("\n") == messages[1]["content"] + "<|im_end|>"


def test_pictures_need_no_times(tmp_path):
    import io

    from recipes.tiny.tasks import make_sample

    sample, png = make_sample("math", "train", 0), io.BytesIO()
    sample.image.save(png, "PNG")
    messages = [
        {"role": "user", "content": f"<image>{sample.question}"},
        {"role": "assistant", "content": sample.work(0, None)},
    ]
    (row,) = dataset(pd.DataFrame({"messages": [messages], "images": [[{"bytes": png.getvalue()}]]}), tmp_path)
    assert set(row["multi_modal_inputs"]) == {"pixel_values", "image_grid_thw"}
