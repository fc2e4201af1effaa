"""The tiny model: Qwen2.5-VL's architecture at 3 million parameters, and the directory every loader understands."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen2VLImageProcessor

from recipes.tiny.tokenizer import VOCABULARY, build_tokenizer

PATCH, MERGE = 14, 2
IMAGE_MEAN = (0.48145466, 0.4578275, 0.40821073)
IMAGE_STD = (0.26862954, 0.26130258, 0.27577711)

_ID = {token: i for i, token in enumerate(VOCABULARY)}


def build_config(
    hidden: int = 192, layers: int = 4, vision_hidden: int = 128, vision_layers: int = 3
) -> Qwen2_5_VLConfig:
    """Describe the model: widths in features, depths in layers; heads are 32 wide as M-RoPE's sections assume."""
    text = dict(
        vocab_size=len(VOCABULARY),
        hidden_size=hidden,
        intermediate_size=3 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 32,
        num_key_value_heads=hidden // 64,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=_ID["<|endoftext|>"],
        eos_token_id=_ID["<|im_end|>"],
        pad_token_id=_ID["<|endoftext|>"],
        rope_scaling={"type": "mrope", "rope_type": "default", "mrope_section": [4, 6, 6]},
    )
    vision = dict(
        depth=vision_layers,
        hidden_size=vision_hidden,
        intermediate_size=3 * vision_hidden,
        num_heads=vision_hidden // 32,
        out_hidden_size=hidden,
        patch_size=PATCH,
        spatial_merge_size=MERGE,
        temporal_patch_size=2,
        window_size=112,
        fullatt_block_indexes=list(range(vision_layers)),
        tokens_per_second=2,
        in_channels=3,
    )
    return Qwen2_5_VLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=_ID["<|image_pad|>"],
        video_token_id=_ID["<|video_pad|>"],
        vision_start_token_id=_ID["<|vision_start|>"],
        vision_end_token_id=_ID["<|vision_end|>"],
        tie_word_embeddings=True,
    )


def build_model(seed: int, **sizes: int) -> Qwen2_5_VLForConditionalGeneration:
    """Initialise the model at random from ``seed``, in float32."""
    torch.manual_seed(seed)
    config = build_config(**sizes)
    config._attn_implementation = "sdpa"
    return Qwen2_5_VLForConditionalGeneration(config)


def save_model(model: Qwen2_5_VLForConditionalGeneration, directory: Path) -> None:
    """Write weights, tokenizer, chat template, processor and generation settings as one Hugging Face directory."""
    directory.mkdir(parents=True, exist_ok=True)
    model.generation_config.update(
        eos_token_id=_ID["<|im_end|>"], pad_token_id=_ID["<|endoftext|>"], bos_token_id=_ID["<|endoftext|>"]
    )
    model.save_pretrained(directory)
    build_tokenizer().save_pretrained(directory)
    Qwen2VLImageProcessor(
        min_pixels=PATCH * PATCH * MERGE * MERGE,
        max_pixels=200704,
        patch_size=PATCH,
        temporal_patch_size=2,
        merge_size=MERGE,
        image_mean=list(IMAGE_MEAN),
        image_std=list(IMAGE_STD),
    ).save_pretrained(directory)
    for name in ("tokenizer_config.json", "preprocessor_config.json"):
        path = directory / name
        settings = json.loads(path.read_text(encoding="utf-8"))
        settings["processor_class"] = "Qwen2_5_VLProcessor"
        path.write_text(json.dumps(settings, indent=1, sort_keys=True) + "\n", encoding="utf-8")
