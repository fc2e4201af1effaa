"""Gives rollout and actor one M-RoPE position for each moment of a clip (Qwen2.5-VL, all devices).

A frame's temporal position is ⌊t · seconds per grid · tokens per second⌋ and the text goes on behind the highest
position (Qwen2.5-VL, arXiv 2502.13923, §2.1.2). Out of the box each side loses the seconds in its own way, and
log-probs of the same tokens differ by several nats:

- verl/experimental/agent_loop/agent_loop.py:936 passes the grids but not ``second_per_grid_ts``;
- transformers/models/qwen2_5_vl/modeling_qwen2_5_vl.py:1053 cuts them to whole seconds, and lets the text go on behind
  the frame's height or width whatever the time (line 1060);
- vllm/model_executor/models/qwen2_vl.py:856 makes a parser without ``video_needs_metadata``, so that
  multimodal/parse.py:770 drops the times and the processor assumes 24 frames a second.
"""

from __future__ import annotations

import inspect
import itertools
import types
import warnings
from typing import Any

import torch
from torch import Tensor

_ASSUMED_FPS = 24.0
"""Of frames without times: what transformers/video_utils.py:111 assumes."""


def rope_index(
    processor: Any,
    input_ids: Tensor,
    mm_token_type_ids: Tensor,
    image_grid_thw: Tensor | None = None,
    video_grid_thw: Tensor | None = None,
    second_per_grid_ts: Tensor | None = None,
    attention_mask: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Compute M-RoPE positions as vLLM does: vllm/model_executor/models/qwen2_5_vl.py:1296.

    Args:
        processor: Qwen2.5-VL's, with verl's ``config``.
        input_ids: (rows, length).
        mm_token_type_ids: (rows, length): 0 text, 1 image, 2 video.
        image_grid_thw: (images, 3): frames, height and width of each in patches.
        video_grid_thw: (videos, 3).
        second_per_grid_ts: (videos,): seconds from one temporal patch to the next; 1 each without.
        attention_mask: (rows, length): 0 where a row is padded.

    Returns:
        Positions (3, rows, length): time, height, width; and how far the next one is ahead of the length, (rows, 1).
    """
    merge = processor.image_processor.merge_size
    rate = processor.config.vision_config.tokens_per_second
    grids = {
        kind: iter([] if grid is None else grid.tolist()) for kind, grid in ((1, image_grid_thw), (2, video_grid_thw))
    }
    # Doubles, as in vLLM: a product of float32 may fall on the other side of a whole number.
    seconds = itertools.repeat(1.0) if second_per_grid_ts is None else iter(second_per_grid_ts.tolist())
    positions = torch.zeros(3, *input_ids.shape, dtype=input_ids.dtype)
    ahead = []
    for row, kinds in enumerate(mm_token_type_ids):
        real = torch.ones_like(kinds, dtype=torch.bool) if attention_mask is None else attention_mask[row].bool()
        pieces, start = [torch.zeros(3, 0, dtype=input_ids.dtype)], 0
        for kind, run in itertools.groupby(kinds[real].tolist()):
            if kind == 0:
                piece = torch.arange(len(list(run))).expand(3, -1)
            else:
                frames, height, width = next(grids[kind])
                sides = (torch.arange(frames), torch.arange(height // merge), torch.arange(width // merge))
                piece = torch.stack(torch.meshgrid(*sides, indexing="ij")).view(3, -1)
                if kind == 2:
                    piece[0] = (piece[0].double() * (next(seconds) * rate)).long()
            pieces.append(piece + start)
            start = int(pieces[-1].max()) + 1
        positions[:, row, real] = torch.cat(pieces, dim=1)
        ahead.append(start - int(real.sum()))
    return positions, torch.tensor(ahead).unsqueeze(1)


def pass_times_in_verl(agent_loop: Any) -> None:
    """Let verl's agent loop pass the times, through the hook that it has for this (agent_loop.py:948).

    The class is changed, not ``hf_processor``: ``import verl`` has handed that name on before it loads plug-ins. A
    processor that has the hook already, from verl itself, stays as it is.
    """
    original = agent_loop.AgentLoopWorker._compute_position_ids

    def _compute_position_ids(self: Any, *args: Any, **kwargs: Any) -> Any:
        processor = self.processor
        if type(processor).__name__ == "Qwen2_5_VLProcessor" and not hasattr(processor, "get_rope_index_kwargs"):
            processor.get_rope_index_kwargs = _times
            processor.get_rope_index = types.MethodType(rope_index, processor)
        return original(self, *args, **kwargs)

    agent_loop.AgentLoopWorker._compute_position_ids = _compute_position_ids


def _times(multi_modal_inputs: dict[str, Any]) -> dict[str, Any]:
    return {"second_per_grid_ts": multi_modal_inputs.get("second_per_grid_ts")}


def keep_times_in_vllm(qwen2_5_vl: Any) -> None:
    """Let vLLM's processor take ``(frames, metadata)`` with the metadata, as it does for Qwen3-VL.

    Where a release has a parser of its own for this model, or another signature, nothing is changed and a warning
    says so.
    """
    info, processor = qwen2_5_vl.Qwen2_5_VLProcessingInfo, qwen2_5_vl.Qwen2_5_VLMultiModalProcessor
    original = processor._call_hf_processor
    expected = ["self", "prompt", "mm_data", "mm_kwargs", "tok_kwargs"]
    if "get_data_parser" in vars(info) or list(inspect.signature(original).parameters) != expected:
        warnings.warn("lipo: this vLLM reads videos in another way; positions may differ from verl's", stacklevel=2)
        return
    make_parser = info.get_data_parser

    def get_data_parser(self: Any) -> Any:
        parser = make_parser(self)
        parser.video_needs_metadata = True
        with_metadata = parser._get_video_with_metadata

        def _get_video_with_metadata(video: Any) -> tuple[Any, dict[str, Any]]:
            frames, metadata = with_metadata(video)
            count = len(frames)
            assumed = {"fps": _ASSUMED_FPS, "frames_indices": list(range(count)), "total_num_frames": count}
            return frames, metadata or assumed

        parser._get_video_with_metadata = _get_video_with_metadata
        return parser

    def _call_hf_processor(self: Any, prompt: Any, mm_data: Any, mm_kwargs: Any, tok_kwargs: Any) -> Any:
        if videos := mm_data.get("videos"):
            frames, metadata = zip(*videos, strict=True)
            mm_data = {**mm_data, "videos": list(frames)}
            # Times that the caller passes to the processor are the same ones, and may stand there once only.
            mm_kwargs = {"do_sample_frames": False, "video_metadata": list(metadata), **mm_kwargs}
        return original(self, prompt, mm_data, mm_kwargs, tok_kwargs)

    info.get_data_parser = get_data_parser
    processor._call_hf_processor = _call_hf_processor
