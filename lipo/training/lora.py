"""Folds low-rank adapters into the weights that they belong to.

verl writes a model with adapters under PEFT's names (fsdp_checkpoint_manager.py:422), which nothing but PEFT loads.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from lipo.common import LipoError

if TYPE_CHECKING:
    import torch

_PREFIX = "base_model.model."
_A, _B, _BASE = ".lora_A.default.weight", ".lora_B.default.weight", ".base_layer"
META = "lora_train_meta.json"
"""Rank and alpha, which verl writes beside the model."""


def fold_adapters(directory: Path, meta: Path) -> None:
    """Replace a model with adapters by the plain model: W + (alpha / rank) · B A, in float32.

    Args:
        directory: Hugging Face directory with PEFT's names in its weight files; changed in place, so give a copy.
        meta: verl's ``lora_train_meta.json``.

    Raises:
        LipoError: The files do not hold what they should.
    """
    from safetensors.torch import load_file
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

    try:
        settings = json.loads(meta.read_text("utf-8"))
        scale = float(settings["lora_alpha"]) / int(settings["r"])
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError) as error:
        raise LipoError(f"{meta} does not tell rank and alpha", "train the last step again") from error
    files = sorted(directory.glob("*.safetensors"))
    stored: dict[str, torch.Tensor] = {}
    for file in files:
        stored |= load_file(file)
    folded = fold(stored, scale)
    config = AutoConfig.from_pretrained(directory)
    if config.tie_word_embeddings:
        folded.pop("lm_head.weight", None)
    vision = any("ForConditionalGeneration" in name for name in config.architectures or ())
    import torch

    with torch.device("meta"):
        model = (AutoModelForImageTextToText if vision else AutoModelForCausalLM).from_config(config)
    for file in (*files, directory / "model.safetensors.index.json"):
        file.unlink(missing_ok=True)
    # The model's class writes the names that the base has, too.
    model.save_pretrained(directory, state_dict=folded)


def fold(stored: dict[str, torch.Tensor], scale: float) -> dict[str, torch.Tensor]:
    """Fold adapters into weights by their names.

    Args:
        stored: PEFT's names → tensors; emptied, to spare memory.
        scale: alpha / rank.

    Returns:
        The plain model's names → float32 tensors.

    Raises:
        LipoError: There are no adapters, or one without its other half or its weight.

    Example:
        >>> import torch
        >>> names = ["q.base_layer.weight", "q.lora_A.default.weight", "q.lora_B.default.weight"]
        >>> ones = {f"base_model.model.{name}": torch.ones(1, 1) for name in names}
        >>> fold(ones, scale=2.0)
        {'q.weight': tensor([[3.]])}
    """
    folded: dict[str, torch.Tensor] = {}
    adapters: dict[str, torch.Tensor] = {}
    for name in list(stored):
        tensor = stored.pop(name)
        plain = name.removeprefix(_PREFIX)
        if ".lora_" in plain:
            adapters[plain] = tensor
        else:
            folded[plain.replace(_BASE, "")] = tensor.float()
    places = [name.removesuffix(_A) for name in adapters if name.endswith(_A)]
    if not places or len(adapters) != 2 * len(places):
        raise LipoError("the checkpoint has no whole adapters", "train the last step again")
    for place in places:
        target, other = f"{place}.weight", adapters.get(place + _B)
        if target not in folded or other is None:
            raise LipoError(f"the adapter of {place} lacks its weight or its other half", "train the last step again")
        folded[target] += scale * (other.float() @ adapters[place + _A].float())
    return folded
