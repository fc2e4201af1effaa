"""One vLLM engine, meant to live in a Ray actor: takes requests at any time, gives answers as they finish."""

from __future__ import annotations

import contextlib
import gc
import io
import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval._reasoning import count_reasoning
from eval.config import EngineConfig, SamplingConfig
from eval.store import Answer, failed_answer

IMAGE_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
"""Formats decoded by Pillow itself; others (EPS) start external programs."""
_REPORT_SECONDS = 0.5
_DROPS_TIMES = ("qwen2_5_vl",)
"""Models whose videos' times vLLM 0.28 takes as an argument of the processor only: its ``Qwen2VLMultiModalDataParser``
does not ask for the metadata beside the frames, and transformers then assumes 24 frames a second."""


@dataclass(frozen=True)
class Request:
    """A question on its way to a replica."""

    key: str
    item: int
    sample: int
    messages: tuple[tuple[str, str], ...]
    images: Sequence[bytes]
    seed: int | None
    frames: Sequence[bytes] = ()
    """Of a video."""
    fps: float = 0.0
    """Frames a second among them."""


@dataclass(frozen=True)
class VideoSize:
    """Size of a video."""

    frames: int
    width: int
    """Pixels."""
    height: int


@dataclass(frozen=True)
class LoadOptions:
    """Which model to serve and how."""

    model: str
    sampling: SamplingConfig
    engine: EngineConfig
    on_cpu: bool
    images_per_prompt: int
    video: VideoSize | None = None
    """Largest video; None for questions without any."""


class Replica:
    """Serves one model at a time; a later :meth:`load` replaces the model but spares the process's start."""

    def __init__(self) -> None:
        """Start empty."""
        self._engine: Any = None
        self._processor: Any = None
        self._options: LoadOptions
        self._drops_times = False
        self._requests: dict[str, Request] = {}

    def load(self, options: LoadOptions) -> None:
        """Start the engine for a model, after stopping the one before."""
        from transformers import AutoProcessor
        from vllm.engine.arg_utils import EngineArgs
        from vllm.v1.engine.llm_engine import LLMEngine

        self.unload()
        self._options = options
        self._processor = AutoProcessor.from_pretrained(options.model, trust_remote_code=False, local_files_only=True)
        self._engine = LLMEngine.from_engine_args(EngineArgs(**_engine_arguments(options)))
        kind = json.loads((Path(options.model) / "config.json").read_text("utf-8")).get("model_type")
        self._drops_times = kind in _DROPS_TIMES

    def unload(self) -> None:
        """Stop the engine and give its memory back."""
        if self._engine is None:
            return
        from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

        self._requests.clear()
        self._engine.engine_core.shutdown()
        self._engine = self._processor = None
        gc.collect()
        cleanup_dist_env_and_memory()

    def advance(self, requests: list[Request], more_waiting: bool) -> list[Answer]:
        """Add requests and work until there is something to report.

        Returns after about half a second, or earlier when the engine is about to run short although more requests
        wait at the caller, or when nothing is left.

        Args:
            requests: New work; may be empty.
            more_waiting: Whether the caller has more.

        Returns:
            Answers finished meanwhile, in the order of finishing.
        """
        answers = [answer for request in requests if (answer := self._add(request)) is not None]
        full = self._options.engine.max_num_seqs
        until = time.monotonic() + _REPORT_SECONDS
        while self._engine.has_unfinished_requests():
            for output in self._engine.step():
                if output.finished:
                    answers.append(self._finish(output))
            hungry = more_waiting and len(self._requests) < full
            if answers and (hungry or time.monotonic() > until):
                break
        return answers

    def _add(self, request: Request) -> Answer | None:
        """Hand a request to the engine, or say at once why it cannot be answered."""
        try:
            prompt: dict[str, Any] = {"prompt": self._render(request)}
            if request.images:
                prompt["multi_modal_data"] = {"image": [decode_image(image) for image in request.images]}
            if request.frames:
                frames, times = read_video(request)
                prompt.setdefault("multi_modal_data", {})["video"] = [(frames, times)]
                if self._drops_times:
                    prompt["mm_processor_kwargs"] = {"video_metadata": [times]}
            self._engine.add_request(request.key, prompt, self._sampling(request.seed))
        # Whatever a hostile row provokes in templates, image decoders or processors concerns this row only.
        except Exception as error:
            return _failure(request, f"{type(error).__name__}: {error}")
        self._requests[request.key] = request
        return None

    def _render(self, request: Request) -> str:
        conversation: list[dict[str, Any]] = []
        for role, text in request.messages:
            content: Any = text
            kinds = ["image"] * bool(request.images) + ["video"] * bool(request.frames)
            if kinds:
                # Odd places hold the markers.
                parts = re.split(f"<({'|'.join(kinds)})>", text)
                content = [{"type": "text", "text": t} if i % 2 == 0 else {"type": t} for i, t in enumerate(parts) if t]
            conversation.append({"role": role, "content": content})
        return str(self._processor.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True))

    def _sampling(self, seed: int | None) -> Any:
        from vllm.sampling_params import RequestOutputKind, SamplingParams

        s = self._options.sampling
        return SamplingParams(
            temperature=s.temperature,
            top_p=s.top_p,
            top_k=s.top_k,
            max_tokens=s.max_tokens,
            seed=seed,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    def _finish(self, output: Any) -> Answer:
        request, completion = self._requests.pop(output.request_id), output.outputs[0]
        tokens = list(completion.token_ids)
        if completion.finish_reason not in ("stop", "length"):
            return _failure(request, f"vLLM ended the response: {completion.finish_reason}")
        return Answer(
            key=request.key,
            item=request.item,
            sample=request.sample,
            response=completion.text,
            tokens=len(tokens),
            reasoning_tokens=count_reasoning(tokens, self._decode, opened=_opens_reasoning(output.prompt)),
            prompt_tokens=len(output.prompt_token_ids or ()),
            finish=completion.finish_reason,
        )

    def _decode(self, tokens: list[int]) -> str:
        return str(self._processor.tokenizer.decode(tokens))


def _opens_reasoning(prompt: str | None) -> bool:
    """Whether the chat template has written ``<think>`` already, as some do."""
    return (prompt or "").rstrip().endswith("<think>")


def _failure(request: Request, why: str) -> Answer:
    return failed_answer(request.key, request.item, request.sample, why)


def _engine_arguments(options: LoadOptions) -> dict[str, Any]:
    from transformers import AutoConfig

    engine = options.engine
    arguments: dict[str, Any] = dict(
        model=options.model,
        # Never a pickle.
        load_format="safetensors",
        trust_remote_code=False,
        dtype=engine.dtype,
        max_model_len=engine.max_model_len,
        max_num_seqs=engine.max_num_seqs,
        max_num_batched_tokens=engine.max_num_batched_tokens,
        tensor_parallel_size=engine.tensor_parallel_size,
        enforce_eager=engine.enforce_eager or options.on_cpu,
        limit_mm_per_prompt={
            "image": options.images_per_prompt,
            "video": _video_limit(options.video) if options.video else 0,
        },
        enable_prefix_caching=options.sampling.samples > 1,
        disable_log_stats=True,
    )
    if not options.on_cpu:
        return {**arguments, "gpu_memory_utilization": engine.gpu_memory_utilization}
    settings = AutoConfig.from_pretrained(options.model, trust_remote_code=False, local_files_only=True)
    longest = engine.max_model_len or settings.get_text_config().max_position_embeddings
    return {
        **arguments,
        "kv_cache_memory_bytes": int(engine.kv_cache_gb * 2**30),
        # vLLM compares this with the machine's free memory even where the cache's size is given.
        "gpu_memory_utilization": 0.01,
        # A prompt split over two passes draws a random number too many, which vLLM takes back by a generator's
        # offset; CPU generators have none, so a seeded request would end the engine.
        "enable_chunked_prefill": False,
        "max_num_batched_tokens": max(engine.max_num_batched_tokens, longest),
    }


def _video_limit(size: VideoSize) -> dict[str, int]:
    return {"count": 1, "num_frames": size.frames, "width": size.width, "height": size.height}


def read_video(request: Request) -> tuple[Any, dict[str, Any]]:
    """Decode a request's frames.

    Returns:
        Array of shape (frames, height, width, 3), and when they are shown, as vLLM and transformers take it.

    Raises:
        ValueError: The frames differ in size.
    """
    import numpy as np

    frames = [np.asarray(decode_image(frame)) for frame in request.frames]
    count = len(frames)
    times = {"fps": request.fps, "total_num_frames": count, "frames_indices": list(range(count))}
    return np.stack(frames), {**times, "duration": count / request.fps}


def decode_image(data: bytes) -> Any:
    """Decode an image as RGB; what is transparent becomes white, as for qwen_vl_utils and vLLM, not the black below."""
    from PIL import Image

    with contextlib.closing(Image.open(io.BytesIO(data), formats=IMAGE_FORMATS)) as image:
        if not image.has_transparency_data:
            return image.convert("RGB")
        layer = image.convert("RGBA")
        paper = Image.new("RGB", layer.size, "white")
        paper.paste(layer, mask=layer.getchannel("A"))
        return paper
