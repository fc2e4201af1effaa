"""Counts against the real model classes, on torch's meta device: nothing is allocated."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from lipo.common import LipoError
from lipo.planning import KNOWN, read_shape

TINY = Path(__file__).parents[3] / "recipes/tiny/base"
PUBLISHED = {
    # metadata.total_size of the models' published model.safetensors.index.json, over two bytes of bfloat16
    "Qwen/Qwen2.5-VL-3B-Instruct": 3_754_622_976,
    "Qwen/Qwen2.5-VL-7B-Instruct": 8_292_166_656,
}


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_the_published_counts(name):
    assert KNOWN[name].parameters == PUBLISHED[name]


def test_the_tiny_models_file():
    with safe_open(TINY / "model.safetensors", "pt") as weights:
        stored = sum(weights.get_tensor(key).numel() for key in weights.keys())  # noqa: SIM118
    assert read_shape(str(TINY)).parameters == stored


@pytest.mark.parametrize("name", ["Qwen/Qwen2.5-VL-3B-Instruct", "Qwen/Qwen2.5-VL-7B-Instruct"])
def test_the_model_class_agrees(name):
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    shape = KNOWN[name]
    config = Qwen2_5_VLConfig(
        text_config={
            "hidden_size": shape.hidden,
            "intermediate_size": shape.intermediate,
            "num_hidden_layers": shape.layers,
            "num_attention_heads": shape.heads,
            "num_key_value_heads": shape.kv_heads,
            "vocab_size": shape.vocabulary,
            "tie_word_embeddings": shape.tied,
        },
        vision_config={
            "depth": shape.vision.depth,
            "hidden_size": shape.vision.hidden,
            "intermediate_size": shape.vision.intermediate,
            "out_hidden_size": shape.vision.out,
            "num_heads": 16,
        },
        tie_word_embeddings=shape.tied,
    )
    with torch.device("meta"):
        model = Qwen2_5_VLForConditionalGeneration(config)
    model.tie_weights()
    assert sum(p.numel() for p in model.parameters()) == shape.parameters
    layer = model.model.language_model.layers[0]
    assert sum(p.numel() for p in layer.parameters()) == shape.layer
    assert sum(p.numel() for p in model.model.visual.parameters()) == shape.vision.parameters
    linear = [m for m in layer.modules() if isinstance(m, torch.nn.Linear)]
    assert sum(8 * (m.in_features + m.out_features) for m in linear) * shape.layers == shape.adapters(8)


def test_the_cache_of_a_token():
    # 36 layers × (keys + values) × 2 heads of 128 × 2 bytes
    assert KNOWN["Qwen/Qwen2.5-VL-3B-Instruct"].kv_bytes == 36 * 2 * 2 * 128 * 2


def test_a_directory_not_yet_there_counts_by_its_name():
    assert read_shape("models/Qwen2.5-VL-3B-Instruct") == KNOWN["Qwen/Qwen2.5-VL-3B-Instruct"]


def test_mistakes(tmp_path):
    with pytest.raises(LipoError, match="no model at models/unknown"):
        read_shape("models/unknown")
    for text in ("{", "[]", json.dumps({"hidden_size": 8})):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(LipoError, match="has not the sizes"):
            read_shape(str(tmp_path))


def test_untied_embeddings_count_twice():
    shape = KNOWN["Qwen/Qwen2.5-VL-3B-Instruct"]
    assert replace(shape, tied=False).parameters - shape.parameters == shape.embedding
