"""Rollout and actor must place the frames of a clip, and the text behind them, alike."""

import types

import pytest
import torch
from verl.experimental.agent_loop.agent_loop import AgentLoopWorker
from verl.utils import hf_processor
from verl.utils.tokenizer import build_multimodal_processor_inputs

from lipo.verl_plugin import video_positions
from recipes.tiny.train_base import BASE

FRAMES = 8
CLIP = "<|vision_start|><|video_pad|><|vision_end|>"
PICTURE = "<|vision_start|><|image_pad|><|vision_end|>"


def clip(sample_fps):
    """Frames and times as verl's data set hands them over; without ``sample_fps``, frames alone."""
    frames = torch.randint(0, 255, (FRAMES, 3, 56, 112), generator=torch.Generator().manual_seed(0)).float()
    times = {"fps": sample_fps, "frames_indices": list(range(FRAMES)), "total_num_frames": float(FRAMES)}
    return (frames, times) if sample_fps else frames


@pytest.fixture(scope="module")
def rollout():
    """vLLM's own processor and model class: (text, videos, images) -> token ids, positions, hashes."""
    from vllm.config import ModelConfig
    from vllm.model_executor.models.qwen2_5_vl import Qwen2_5_VLForConditionalGeneration as Model
    from vllm.multimodal import MULTIMODAL_REGISTRY
    from vllm.multimodal.inputs import MultiModalFeatureSpec
    from vllm.multimodal.processing.context import TimingContext
    from vllm.multimodal.processing.inputs import ProcessorInputs

    config = ModelConfig(model=str(BASE), dtype="float32", max_model_len=600)
    processor = MULTIMODAL_REGISTRY.create_processor(config)
    model = types.SimpleNamespace(config=config.hf_config)
    model.iter_mm_grid_thw = types.MethodType(Model.iter_mm_grid_thw, model)

    def run(text, **data):
        items = processor.info.parse_mm_data(data)
        out = processor.apply(ProcessorInputs(prompt=text, mm_data_items=items), TimingContext(enabled=False))
        features = [
            MultiModalFeatureSpec(
                data=out["mm_kwargs"][kind][i],
                modality=kind,
                identifier=out["mm_hashes"][kind][i],
                mm_position=place,
            )
            for kind, places in out["mm_placeholders"].items()
            for i, place in enumerate(places)
        ]
        positions, _ = Model.get_mrope_input_positions(model, out["prompt_token_ids"], features)
        return out["prompt_token_ids"], positions, out["mm_hashes"]

    return run


def actor(ids, text, videos, images=None):
    """Positions from verl's agent loop: (text position, time, height, width)."""
    worker = types.SimpleNamespace(processor=hf_processor(str(BASE)))
    inputs = dict(build_multimodal_processor_inputs(worker.processor, text=[text], videos=videos, images=images))
    assert inputs.pop("input_ids")[0].tolist() == ids
    row = torch.tensor([ids])
    return AgentLoopWorker._compute_position_ids(worker, row, torch.ones_like(row), inputs)[0]


# 1 / 0.35 s a grid: six and a half steps of 0.7 s would be cut to others in float32 than in float64.
@pytest.mark.parametrize("sample_fps", [1.8064516, 2.0, 8.0, 0.7, 2 / 0.7, 2 / 0.35])
def test_rollout_and_actor_agree(rollout, sample_fps):
    text = f"user\n{CLIP}what comes first?\nassistant\n<think>i see red"
    ids, expected, _ = rollout(text, video=[clip(sample_fps)])
    positions = actor(ids, text, [clip(sample_fps)])
    assert torch.equal(positions[0], torch.arange(len(ids)))
    assert torch.equal(positions[1:], expected)
    # Two frames share a grid, the model counts two positions a second.
    seconds = torch.tensor(2 / sample_fps).item()
    start = text.index("<|vision_start|>")
    times = positions[1, torch.tensor(ids) == 6].view(FRAMES // 2, -1)
    assert start and [row.unique().item() - int(times[0, 0]) for row in times] == [
        int(grid * seconds * 2) for grid in range(4)
    ]


def test_clips_pictures_and_text_agree(rollout):
    from PIL import Image

    picture = Image.new("RGB", (84, 56), "red")
    text = f"user\n{PICTURE}{CLIP}and{PICTURE}{CLIP}then{CLIP}\n"
    videos = [clip(fps) for fps in (0.5, 4.0, 1.8064516)]
    ids, expected, _ = rollout(text, video=videos, image=[picture, picture])
    assert torch.equal(actor(ids, text, videos, [picture, picture])[1:], expected)


def test_equal_frames_at_other_times_are_another_clip(rollout):
    slow, fast = (rollout(CLIP, video=[clip(fps)])[2] for fps in (1.0, 2.0))
    assert slow != fast


def test_frames_without_times_are_taken_as_before(rollout):
    ids, positions, _ = rollout(CLIP, video=[clip(None)])
    assert set(positions[0, torch.tensor(ids) == 6].tolist()) == {1}


def test_a_padded_row_is_placed_as_it_is_without_padding():
    processor = hf_processor(str(BASE))
    kinds = torch.tensor([[0, 0, 2, 2, 2, 2, 0]])
    grid = {"video_grid_thw": torch.tensor([[2, 2, 4]]), "second_per_grid_ts": torch.tensor([3.0])}
    ids = torch.zeros_like(kinds)
    plain, ahead = video_positions.rope_index(processor, ids, kinds, **grid)
    assert plain[:, 0].tolist() == [[0, 1, 2, 2, 8, 8, 9], [0, 1, 2, 2, 2, 2, 9], [0, 1, 2, 3, 2, 3, 9]]
    assert ahead.tolist() == [[3]]
    pad = torch.zeros(1, 2, dtype=torch.long)
    mask = torch.cat([pad, torch.ones_like(kinds)], dim=1)
    padded, _ = video_positions.rope_index(processor, mask, torch.cat([pad, kinds], dim=1), attention_mask=mask, **grid)
    assert torch.equal(padded[:, :, 2:], plain)


def test_a_vllm_that_reads_videos_in_its_own_way_is_left_alone():
    class Info:
        def get_data_parser(self):
            return "its own"

    class Processor:
        def _call_hf_processor(self, prompt, mm_data, mm_kwargs, tok_kwargs):
            return "its own"

    module = types.SimpleNamespace(Qwen2_5_VLProcessingInfo=Info, Qwen2_5_VLMultiModalProcessor=Processor)
    with pytest.warns(UserWarning, match="reads videos in another way"):
        video_positions.keep_times_in_vllm(module)
    assert Info().get_data_parser() == Processor()._call_hf_processor("", {}, {}, {}) == "its own"
