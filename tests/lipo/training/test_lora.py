"""Against PEFT's own merge, on the tiny model."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lipo.common import LipoError
from lipo.training.lora import fold, fold_adapters

BASE = Path(__file__).parents[3] / "recipes/tiny/base"


@pytest.fixture(scope="module")
def adapted():
    """The tiny model with random adapters, as verl builds it."""
    from peft import LoraConfig, TaskType, get_peft_model
    from transformers import AutoModelForImageTextToText

    config = LoraConfig(task_type=TaskType.CAUSAL_LM, r=4, lora_alpha=6, target_modules="all-linear",
                        exclude_modules=".*visual.*", bias="none")  # fmt: skip
    model = get_peft_model(AutoModelForImageTextToText.from_pretrained(BASE), config)
    generator = torch.Generator().manual_seed(0)
    for name, value in model.named_parameters():
        if "lora_" in name:
            value.data = 0.1 * torch.randn(value.shape, generator=generator)
    return model


def test_the_folded_model_is_pefts_merged_one(adapted, tmp_path):
    stored = {name: value.clone() for name, value in adapted.state_dict().items() if "lm_head" not in name}
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / name).write_bytes((BASE / name).read_bytes())
    names = sorted(stored)
    save_file({n: stored[n] for n in names[::2]}, tmp_path / "model-00001-of-00002.safetensors", {"format": "pt"})
    save_file({n: stored[n] for n in names[1::2]}, tmp_path / "model-00002-of-00002.safetensors", {"format": "pt"})
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    meta = tmp_path / "meta.json"
    meta.write_text(json.dumps({"r": 4, "lora_alpha": 6, "task_type": "CAUSAL_LM"}))
    fold_adapters(tmp_path, meta)

    weights, base = load_file(tmp_path / "model.safetensors"), load_file(BASE / "model.safetensors")
    assert weights.keys() == base.keys() and {w.dtype for w in weights.values()} == {torch.float32}
    changed = {name for name in base if not torch.equal(base[name], weights[name])}
    assert changed == {name for name in base if "layers" in name and name.endswith("proj.weight")}
    assert not (tmp_path / "model.safetensors.index.json").exists()

    from transformers import AutoModelForImageTextToText

    loaded = AutoModelForImageTextToText.from_pretrained(tmp_path)
    merged = adapted.merge_and_unload()
    for (name, ours), theirs in zip(loaded.named_parameters(), merged.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, msg=name)


@pytest.mark.parametrize("missing", ["q.lora_B.default.weight", "q.base_layer.weight", "q.lora_A.default.weight"])
def test_half_an_adapter(missing):
    names = ("q.base_layer.weight", "q.lora_A.default.weight", "q.lora_B.default.weight")
    stored = {f"base_model.model.{name}": torch.ones(1, 1) for name in names if name != missing}
    with pytest.raises(LipoError, match="train the last step again"):
        fold(stored, 1.0)


def test_no_meta(tmp_path):
    for text in ("{", "{}", '{"r": 0, "lora_alpha": 1}'):
        (tmp_path / "meta.json").write_text(text)
        with pytest.raises(LipoError, match="does not tell rank and alpha"):
            fold_adapters(tmp_path, tmp_path / "meta.json")
