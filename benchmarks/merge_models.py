"""Synthetic checkpoints with the tensor names of Qwen2.5-VL-3B, in full size or narrower."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import save_file

_HIDDEN, _INTERMEDIATE, _LAYERS, _KV, _VOCABULARY = 2048, 11008, 36, 256, 151936
_VISION, _VISION_INTERMEDIATE, _BLOCKS = 1280, 3420, 32
# Experts of reinforcement learning differ from their base by about this much.
_DELTA = 1e-3


def shapes(narrower: int = 1) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all tensors, every width divided by ``narrower``; the vocabulary and the depth stay."""
    hidden, inter, kv = _HIDDEN // narrower, _INTERMEDIATE // narrower, _KV // narrower
    wide, wide_inter = _VISION // narrower, _VISION_INTERMEDIATE // narrower
    found: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (_VOCABULARY, hidden)}
    for layer in range(_LAYERS):
        at = f"model.layers.{layer}."
        for name, rows in (("q", hidden), ("k", kv), ("v", kv)):
            found[f"{at}self_attn.{name}_proj.weight"] = (rows, hidden)
            found[f"{at}self_attn.{name}_proj.bias"] = (rows,)
        found |= {
            f"{at}self_attn.o_proj.weight": (hidden, hidden),
            f"{at}mlp.gate_proj.weight": (inter, hidden),
            f"{at}mlp.up_proj.weight": (inter, hidden),
            f"{at}mlp.down_proj.weight": (hidden, inter),
            f"{at}input_layernorm.weight": (hidden,),
            f"{at}post_attention_layernorm.weight": (hidden,),
        }
    found["model.norm.weight"] = (hidden,)
    found["visual.patch_embed.proj.weight"] = (wide, 3, 2, 14, 14)
    for block in range(_BLOCKS):
        at = f"visual.blocks.{block}."
        linear = {"attn.qkv": (3 * wide, wide), "attn.proj": (wide, wide), "mlp.gate_proj": (wide_inter, wide)}
        linear |= {"mlp.up_proj": (wide_inter, wide), "mlp.down_proj": (wide, wide_inter)}
        for name, shape in linear.items():
            found |= {f"{at}{name}.weight": shape, f"{at}{name}.bias": shape[:1]}
        found |= {f"{at}norm1.weight": (wide,), f"{at}norm2.weight": (wide,)}
    found |= {"visual.merger.ln_q.weight": (wide,), "visual.merger.mlp.0.bias": (4 * wide,)}
    found |= {"visual.merger.mlp.0.weight": (4 * wide, 4 * wide), "visual.merger.mlp.2.bias": (hidden,)}
    found["visual.merger.mlp.2.weight"] = (hidden, 4 * wide)
    return found


def linear_layers(narrower: int = 1) -> dict[tuple[int, int], int]:
    """Shapes of the linear layers that matrix methods merge, and how many there are of each."""
    counts: dict[tuple[int, int], int] = {}
    for name, shape in shapes(narrower).items():
        if len(shape) == 2 and "embed" not in name:
            counts[shape] = counts.get(shape, 0) + 1
    return counts


def write(folder: Path, narrower: int, experts: int, dtype: torch.dtype) -> dict[str, Path]:
    """Write a base and experts near it, in two shards each as the original; what is there already is kept."""
    names = ["base", *(f"expert{index}" for index in range(experts))]
    for index, name in enumerate(names):
        if not (folder / name / "model.safetensors.index.json").exists():
            _write_model(folder / name, narrower, index, dtype)
    return {name: folder / name for name in names}


def _write_model(directory: Path, narrower: int, index: int, dtype: torch.dtype) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    files: dict[str, str] = {}
    tensors = shapes(narrower)
    halves = (list(tensors)[: len(tensors) // 2], list(tensors)[len(tensors) // 2 :])
    for shard, names in enumerate(halves, start=1):
        file = f"model-{shard:05}-of-00002.safetensors"
        save_file({n: _values(n, tensors[n], index, dtype) for n in names}, directory / file, {"format": "pt"})
        files |= dict.fromkeys(names, file)
    (directory / "config.json").write_text(json.dumps(_config(narrower, dtype), indent=1), "utf-8")
    index_file = directory / "model.safetensors.index.json"
    index_file.write_text(json.dumps({"metadata": {}, "weight_map": files}), "utf-8")


def _values(name: str, shape: tuple[int, ...], index: int, dtype: torch.dtype) -> torch.Tensor:
    def normal(seed: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(hash((seed, len(name), *name.encode())) % 2**31)
        return torch.randn(shape, generator=generator)

    values = normal(0).mul_(0.02)
    if index:
        values.add_(normal(index), alpha=_DELTA)
    return values.to(dtype)


def _config(narrower: int, dtype: torch.dtype) -> dict[str, object]:
    return {
        "architectures": ["Qwen2_5_VLForConditionalGeneration"],
        "model_type": "qwen2_5_vl",
        "hidden_size": _HIDDEN // narrower,
        "intermediate_size": _INTERMEDIATE // narrower,
        "num_hidden_layers": _LAYERS,
        "num_attention_heads": 16 // min(narrower, 8),
        "num_key_value_heads": max(1, 2 // narrower),
        "vocab_size": _VOCABULARY,
        "tie_word_embeddings": True,
        "torch_dtype": str(dtype).removeprefix("torch."),
        "vision_config": {"depth": _BLOCKS, "hidden_size": _VISION // narrower, "out_hidden_size": _HIDDEN // narrower},
    }


def main() -> None:
    """Write a set of checkpoints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--narrower", type=int, default=4)
    parser.add_argument("--experts", type=int, default=3)
    arguments = parser.parse_args()
    write(arguments.folder, arguments.narrower, arguments.experts, torch.bfloat16)


if __name__ == "__main__":
    main()
