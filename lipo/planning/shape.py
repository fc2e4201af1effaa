"""The sizes of a vision-language or text model, and its parameter counts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lipo.common import LipoError


@dataclass(frozen=True)
class VisionShape:
    """The vision tower of Qwen2.5-VL."""

    depth: int
    hidden: int
    intermediate: int
    out: int
    patch: int = 14
    temporal: int = 2
    merge: int = 2

    @property
    def block(self) -> int:
        """Parameters of one block: attention, gated MLP (both with biases) and two norms."""
        h, i = self.hidden, self.intermediate
        return (4 * h * h + 4 * h) + (3 * h * i + 2 * i + h) + 2 * h

    @property
    def parameters(self) -> int:
        """Of the whole tower with its merger."""
        wide = self.hidden * self.merge**2
        merger = self.hidden + wide * wide + wide + wide * self.out + self.out
        return 3 * self.temporal * self.patch**2 * self.hidden + self.depth * self.block + merger


@dataclass(frozen=True)
class ModelShape:
    """A decoder of the Qwen2 family, with or without a vision tower.

    Example:
        >>> KNOWN["Qwen/Qwen2.5-VL-3B-Instruct"].parameters
        3754622976
    """

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    vocabulary: int
    tied: bool
    vision: VisionShape | None = None

    @property
    def head(self) -> int:
        """Size of an attention head."""
        return self.hidden // self.heads

    @property
    def kv_width(self) -> int:
        """Elements of a token's keys in one layer; its values have as many."""
        return self.kv_heads * self.head

    @property
    def layer(self) -> int:
        """Parameters of one decoder layer: attention (biases on q, k, v), gated MLP, two norms."""
        h, kv = self.hidden, self.kv_width
        return (2 * h * h + 2 * h * kv + h + 2 * kv) + 3 * h * self.intermediate + 2 * h

    @property
    def embedding(self) -> int:
        """Parameters of the token embedding."""
        return self.vocabulary * self.hidden

    @property
    def parameters(self) -> int:
        """Of the whole model; tied embeddings count once."""
        tower = self.vision.parameters if self.vision else 0
        return self.layers * self.layer + self.hidden + self.embedding * (1 if self.tied else 2) + tower

    @property
    def computing(self) -> int:
        """Parameters that every text token is multiplied with: layers and output head."""
        return self.layers * self.layer + self.embedding

    def adapters(self, rank: int) -> int:
        """Parameters of low-rank adapters on all linear layers of the decoder."""
        h, i, kv = self.hidden, self.intermediate, self.kv_width
        return self.layers * rank * (2 * (h + h) + 2 * (h + kv) + 3 * (h + i))

    @property
    def kv_bytes(self) -> int:
        """Key-value cache of one token in bfloat16."""
        return 2 * 2 * self.layers * self.kv_width


def _qwen_vl(
    layers: int, hidden: int, intermediate: int, heads: int, kv_heads: int, vocabulary: int, tied: bool, vision: int
) -> ModelShape:
    tower = VisionShape(32, 1280, vision, hidden)
    return ModelShape(layers, hidden, intermediate, heads, kv_heads, vocabulary, tied, tower)


KNOWN = {
    "Qwen/Qwen2.5-VL-3B-Instruct": _qwen_vl(36, 2048, 11008, 16, 2, 151936, True, 3420),
    "Qwen/Qwen2.5-VL-7B-Instruct": _qwen_vl(28, 3584, 18944, 28, 4, 152064, False, 3420),
    "Qwen/Qwen2.5-VL-32B-Instruct": _qwen_vl(64, 5120, 27648, 40, 8, 152064, False, 3456),
    "Qwen/Qwen2-7B-Instruct": ModelShape(28, 3584, 18944, 28, 4, 152064, False),
    "Qwen/Qwen2.5-14B-Instruct": ModelShape(48, 5120, 13824, 40, 8, 152064, False),
}
"""Sizes from the models' published config.json, so that no download is needed to plan."""


def read_shape(model: str) -> ModelShape:
    """Find a model's sizes.

    Args:
        model: A directory with a ``config.json``, or one of :data:`KNOWN`; a directory that is not there yet and ends
            in a known model's name counts as that.

    Returns:
        Its sizes.

    Raises:
        LipoError: Neither, or a config without the sizes of this family.
    """
    file = Path(model) / "config.json"
    if not file.is_file():
        for name, shape in KNOWN.items():
            if model == name or Path(model).name == name.rpartition("/")[2]:
                return shape
        raise LipoError(
            f"no model at {model} to read the sizes from", f"give a directory, or one of {', '.join(KNOWN)}"
        )
    try:
        config = json.loads(file.read_text("utf-8"))
        return _parse(config)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LipoError(
            f"{file} has not the sizes of a Qwen2 or Qwen2.5-VL model: {error!r}", "plan by hand"
        ) from error


def _parse(config: Mapping[str, Any]) -> ModelShape:
    text = config.get("text_config") or config
    vision = None
    if tower := config.get("vision_config"):
        vision = VisionShape(
            depth=int(tower["depth"]),
            hidden=int(tower["hidden_size"]),
            intermediate=int(tower["intermediate_size"]),
            out=int(tower["out_hidden_size"]),
            patch=int(tower.get("patch_size", 14)),
            temporal=int(tower.get("temporal_patch_size", 2)),
            merge=int(tower.get("spatial_merge_size", 2)),
        )
    return ModelShape(
        layers=int(text["num_hidden_layers"]),
        hidden=int(text["hidden_size"]),
        intermediate=int(text["intermediate_size"]),
        heads=int(text["num_attention_heads"]),
        kv_heads=int(text["num_key_value_heads"]),
        vocabulary=int(text["vocab_size"]),
        tied=bool(config.get("tie_word_embeddings", text.get("tie_word_embeddings", False))),
        vision=vision,
    )
