"""Questions from parquet files in verl's format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from eval.sources._clips import Clip
from eval.sources.item import Item

COLUMNS = ("prompt", "reward_model")
"""Needed; ``images``, ``videos``, ``data_source`` and ``extra_info`` may be absent."""

FORMAT_HELP = "write verl's format: prompt = [{role, content}], images = [{bytes}], reward_model = {ground_truth}"


def read_verl_row(
    row: Mapping[str, Any], index: int, images: Sequence[bytes], error: str | None, clip: Clip | None = None
) -> Item:
    """Make a question of a row; with ``error`` set where something is missing."""
    extra, reward = row.get("extra_info"), row.get("reward_model")
    messages: tuple[tuple[str, str], ...] = ()
    truth = reward.get("ground_truth") if isinstance(reward, dict) else None
    try:
        messages = _read_messages(row.get("prompt"))
        if error is not None:
            raise ValueError(error)
        markers = sum(text.count("<image>") for _, text in messages)
        if markers != len(images):
            raise ValueError(f"{len(images)} image(s) for {markers} <image> marker(s)")
        if sum(text.count("<video>") for _, text in messages) != (clip is not None):
            raise ValueError(f"{int(clip is not None)} video(s), and another number of <video> markers")
        if truth is None:
            raise ValueError("no reward_model.ground_truth")
    except ValueError as problem:
        error = str(problem)
    return Item(
        index=index,
        messages=messages,
        images=images,
        ground_truth=truth,
        data_source=str(row.get("data_source") or ""),
        extra_info=extra if isinstance(extra, dict) else {},
        error=error,
        clip=clip,
    )


def _read_messages(prompt: Any) -> tuple[tuple[str, str], ...]:
    if isinstance(prompt, str):
        return (("user", prompt),)
    if not isinstance(prompt, list) or not prompt:
        raise ValueError("the prompt is neither text nor a list of messages")
    messages = []
    for message in prompt:
        if not isinstance(message, dict) or not all(isinstance(message.get(k), str) for k in ("role", "content")):
            raise ValueError("a message of the prompt lacks role or content")
        messages.append((message["role"], message["content"]))
    return tuple(messages)
