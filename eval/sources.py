"""Reads questions with images from parquet files in verl's format."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eval.config import BenchmarkConfig
from lipo.common import LipoError

COLUMNS = ("prompt", "reward_model")
"""Needed; ``images``, ``data_source`` and ``extra_info`` may be absent."""

_FORMAT_HELP = "write verl's format: prompt = [{role, content}], images = [{bytes}], reward_model = {ground_truth}"


@dataclass(frozen=True)
class Item:
    """One question."""

    index: int
    """Row number in its file, from 0."""
    messages: tuple[tuple[str, str], ...]
    """(role, text) pairs; ``<image>`` in a text stands for the next image."""
    images: tuple[bytes, ...]
    """Encoded image files, not yet decoded."""
    ground_truth: Any
    data_source: str = ""
    extra_info: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    """Why the question cannot be asked; such an item counts as not answered correctly."""
    groups: Mapping[str, str] = field(default_factory=dict)
    """Breakdown → the category that this question belongs to, e.g. ``{"subject": "algebra"}``."""
    cluster: str = ""
    """Questions of the same cluster are not independent; by default those about the same images."""

    def __post_init__(self) -> None:
        """Give the cluster its default."""
        if not self.cluster:
            digests = [hashlib.sha256(image).digest() for image in self.images]
            name = f"images {hashlib.sha256(b''.join(digests)).hexdigest()[:16]}" if digests else f"item {self.index}"
            object.__setattr__(self, "cluster", name)

    @property
    def question(self) -> str:
        """The texts of all messages, for people."""
        return "\n".join(text for _, text in self.messages)

    @property
    def content_hash(self) -> str:
        """SHA-256 of what the model gets to see."""
        digest = hashlib.sha256(json.dumps(self.messages).encode())
        for image in self.images:
            digest.update(hashlib.sha256(image).digest())
        return digest.hexdigest()


def read_items(name: str, config: BenchmarkConfig) -> list[Item]:
    """Read the questions of a benchmark.

    A row whose image is absent or whose prompt is malformed becomes an item with ``error`` set; a file that lacks a
    column is refused as a whole.

    Args:
        name: Of the benchmark, for messages.
        config: Where it is.

    Returns:
        Items in the file's order.

    Raises:
        LipoError: No such file, not parquet, no rows, or a needed column or every ground truth is missing.
    """
    import pyarrow
    import pyarrow.parquet

    path = config.source
    if not path.is_file():
        raise LipoError(f"benchmark '{name}' has no file at {path}", "create it or correct 'source'")
    try:
        table = pyarrow.parquet.ParquetFile(path)
        missing = [column for column in COLUMNS if column not in table.schema_arrow.names]
        if missing:
            raise LipoError(f"{path} has no column {' and no column '.join(missing)}", _FORMAT_HELP)
        wanted = [c for c in (*COLUMNS, "images", "data_source", "extra_info") if c in table.schema_arrow.names]
        items: list[Item] = []
        for batch in table.iter_batches(batch_size=256, columns=wanted):
            items += [_read_row(row, len(items) + i, config) for i, row in enumerate(batch.to_pylist())]
            if config.limit is not None and len(items) >= config.limit:
                break
    except pyarrow.ArrowException as error:
        raise LipoError(f"cannot read {path}: {error}", "give a parquet file") from error
    items = items[: config.limit]
    if not items:
        raise LipoError(f"{path} has no rows", "give at least one question")
    if all(item.ground_truth is None for item in items):
        raise LipoError(f"{path} has no reward_model.ground_truth in any row", _FORMAT_HELP)
    return items


def _read_row(row: dict[str, Any], index: int, config: BenchmarkConfig) -> Item:
    extra, reward = row.get("extra_info"), row.get("reward_model")
    messages: tuple[tuple[str, str], ...] = ()
    images: tuple[bytes, ...] = ()
    error = None
    try:
        messages = _read_messages(row["prompt"])
        root = config.image_root or config.source.parent
        images = tuple(_read_image(image, root) for image in row.get("images") or ())
        markers = sum(text.count("<image>") for _, text in messages)
        if markers != len(images):
            raise ValueError(f"{len(images)} image(s) for {markers} <image> marker(s)")
        if not isinstance(reward, dict) or reward.get("ground_truth") is None:
            raise ValueError("no reward_model.ground_truth")
    except (ValueError, OSError) as problem:
        error = str(problem)
    return Item(
        index=index,
        messages=messages,
        images=images,
        ground_truth=reward.get("ground_truth") if isinstance(reward, dict) else None,
        data_source=str(row.get("data_source") or ""),
        extra_info=extra if isinstance(extra, dict) else {},
        error=error,
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


def _read_image(image: Any, root: Path) -> bytes:
    if isinstance(image, dict):
        image = image.get("bytes") or image.get("path") or image.get("image")
    if isinstance(image, bytes):
        return image
    if not isinstance(image, str):
        raise ValueError("an image is neither bytes nor a path")
    path = (root / image.removeprefix("file://")).resolve()
    if not path.is_relative_to(root.resolve()):
        raise ValueError(f"image path {image!r} leaves {root}; set image_root to allow it")
    if not path.is_file():
        raise ValueError(f"no image at {image!r}")
    return path.read_bytes()
