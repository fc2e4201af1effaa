"""Exports a verl checkpoint as a Hugging Face directory."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from lipo.common import LipoError, atomic_directory, atomic_write
from lipo.training.lora import META, fold_adapters

SETTINGS = "training_config.yaml"
"""File of an export: the configuration that it was trained with."""


def export_model(source: Path, recipe: Path, export: Path) -> Path:
    """Copy a checkpoint's model, adapters folded in.

    Args:
        source: verl's folder ``huggingface`` of a checkpoint.
        recipe: Composed configuration, which goes along.
        export: Directory to make.

    Returns:
        ``export``.

    Raises:
        LipoError: The checkpoint has no such weights.
    """
    if not any(source.glob("*.safetensors")):
        raise LipoError(f"no Hugging Face weights in {source}", "set save_freq so that the last step is saved")
    with atomic_directory(export) as work:
        shutil.copytree(source, work, dirs_exist_ok=True)
        if (source.parent / META).is_file():
            fold_adapters(work, source.parent / META)
        _declare_dtype(work)
        shutil.copy2(recipe, work / SETTINGS)
    return export


def _declare_dtype(directory: Path) -> None:
    """Make ``config.json`` name the type of the stored weights.

    verl stores float32 but leaves the rollout's bfloat16 in the configuration: loaders would round the weights away.
    """
    from safetensors import safe_open

    names = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}
    stored = set()
    for file in directory.glob("*.safetensors"):
        with safe_open(file, framework="pt") as weights:
            stored |= {weights.get_slice(key).get_dtype() for key in weights.keys()}  # noqa: SIM118 (no mapping)
    if len(stored) != 1 or not stored <= names.keys():
        return
    (dtype,) = stored
    config_file = directory / "config.json"
    config = json.loads(config_file.read_text(encoding="utf-8"))
    for section in (config, *(v for v in config.values() if isinstance(v, dict))):
        for key in ("dtype", "torch_dtype"):
            if key in section:
                section[key] = names[dtype]
    with atomic_write(config_file) as stream:
        stream.write(json.dumps(config, indent=2) + "\n")
