"""verl's dataset of conversations, with the times of a clip's frames.

In a recipe: ``data.custom_cls: {path: pkg://lipo.sft.dataset, name: TimedDataset}``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from verl.utils.dataset.multiturn_sft_dataset import MultiTurnSFTDataset
from verl.utils.dataset.vision_utils import process_video


class TimedDataset(MultiTurnSFTDataset):  # type: ignore[misc]
    """Conversations whose clips keep their times.

    verl's own dataset hands frames to the processor without metadata (multiturn_sft_dataset.py:282), which then assumes
    24 a second; positions would be others than in the rollouts of :mod:`lipo.verl_plugin.video_positions`.
    """

    def _build_messages(self, example: dict[str, Any]) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = super()._build_messages(example)
        videos = iter(example.get(self.video_key, ()))
        for message in messages:
            parts = message["content"] if isinstance(message["content"], list) else []
            clips = [part for part in parts if part["type"] == "video"]
            for part in clips:
                options = {"image_patch_size": self.image_patch_size, "return_video_metadata": True}
                part["video"], part["metadata"] = process_video(next(videos), **options)
        return messages

    def _process_single_message(self, index: int, message: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        with self._times([message]):
            # Token ids, loss mask, attention mask, and what else the model is given.
            result: Any = super()._process_single_message(index, message, *args, **kwargs)
        inputs = result[-1]
        if "second_per_grid_ts" in inputs:
            # Doubles, as in vLLM: a product of float32 may fall on the other side of a whole number.
            inputs["second_per_grid_ts"] = inputs["second_per_grid_ts"].double()
        return result

    def sanity_check(self, input_ids: Any, messages: list[dict[str, Any]], *args: Any) -> None:
        """Compare with the conversation tokenized at once, see verl."""
        with self._times(messages):
            super().sanity_check(input_ids, messages, *args)

    @contextmanager
    def _times(self, messages: list[dict[str, Any]]) -> Iterator[None]:
        """Tell the processor when the frames of these messages are shown."""
        parts = [p for m in messages if isinstance(m["content"], list) for p in m["content"]]
        metadata = [part["metadata"] for part in parts if part["type"] == "video"]
        before = self.apply_chat_template_kwargs
        if metadata:
            told = {"video_metadata": metadata, "do_sample_frames": False}
            self.apply_chat_template_kwargs = {**before, "processor_kwargs": told}
        try:
            yield
        finally:
            self.apply_chat_template_kwargs = before
