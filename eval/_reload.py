"""Gives a running vLLM another model's weights, where the models differ in nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from eval._keys import model_files

_INDEX = "model.safetensors.index.json"
_ABOUT = ("_name_or_path", "transformers_version")
"""Entries of config.json and generation_config.json that say where a model comes from, and decide no answer."""


def differ_in_weights_only(one: Path, other: Path) -> bool:
    """Whether two models have the same settings, tokenizer and templates, and tensors of the same names and shapes.

    Args:
        one: Hugging Face directory.
        other: Hugging Face directory.
    """
    return _settings(one) == _settings(other) and _shapes(one) == _shapes(other)


def reload_weights(engine: Any, model: Path) -> None:
    """Replace the weights of an idle engine, and forget what it has computed with those before.

    Args:
        engine: vLLM's ``LLMEngine``, without unfinished requests.
        model: Hugging Face directory that :func:`differ_in_weights_only` from the engine's model.
    """
    engine.collective_rpc("reload_weights", kwargs={"weights_path": str(model)})
    engine.reset_prefix_cache()
    # Of pictures: what the processor made of them, and what the vision tower made of that.
    engine.reset_mm_cache()
    engine.reset_encoder_cache()


def _settings(directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in model_files(directory):
        if path.suffix == ".safetensors" or path.name == _INDEX:
            continue
        found[path.name] = path.read_bytes()
        if path.name in ("config.json", "generation_config.json"):
            found[path.name] = {k: v for k, v in json.loads(found[path.name]).items() if k not in _ABOUT}
    return found


def _shapes(directory: Path) -> dict[str, list[int]]:
    from safetensors import safe_open

    shapes: dict[str, list[int]] = {}
    for path in sorted(directory.glob("*.safetensors")):
        with safe_open(path, framework="numpy") as file:
            shapes |= {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118 (no mapping)
    return shapes
