"""Small models on disk."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

torch.set_num_threads(1)

Writer = Callable[..., Path]


def _write(directory: Path, tensors: Mapping[str, torch.Tensor], shards: int = 1, **config: object) -> Path:
    directory.mkdir(parents=True)
    (directory / "config.json").write_text(json.dumps({"model_type": "toy", **config}), "utf-8")
    names = sorted(tensors)
    if shards == 1:
        save_file(dict(tensors), directory / "model.safetensors", metadata={"format": "pt"})
        return directory
    index = {}
    for shard in range(shards):
        file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        part = names[shard::shards]
        save_file({name: tensors[name] for name in part}, directory / file, metadata={"format": "pt"})
        index |= dict.fromkeys(part, file)
    (directory / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}), "utf-8")
    return directory


@pytest.fixture
def write_model() -> Writer:
    """Return a function that writes tensors as a model directory, in one file or several."""
    return _write


def toy_tensors(seed: int, width: int = 8) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    return {
        "model.embed_tokens.weight": normal(5, width),
        "model.layers.0.mlp.up_proj.weight": normal(2 * width, width),
        "model.layers.0.mlp.down_proj.weight": normal(width, 2 * width),
        "model.layers.0.self_attn.q_proj.bias": normal(width),
        "model.norm.weight": normal(width),
        "visual.blocks.0.attn.proj.weight": normal(width, width),
        "visual.patch_embed.proj.weight": normal(width, 3, 2, 2, 2),
    }


@pytest.fixture
def toy() -> Callable[..., dict[str, torch.Tensor]]:
    """Return a function from a seed to the tensors of a small vision-language model."""
    return toy_tensors


@pytest.fixture
def models(tmp_path: Path) -> dict[str, Path]:
    """Write a base and two experts near it."""
    base = toy_tensors(0)
    paths = {"base": _write(tmp_path / "base", base)}
    for seed, name in enumerate(("math", "ocr"), start=1):
        expert = {key: value + 1e-2 * toy_tensors(seed)[key] for key, value in base.items()}
        paths[name] = _write(tmp_path / name, expert)
    return paths
