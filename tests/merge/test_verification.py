import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lipo.common import LipoError
from merge import verify
from merge.verification import takes_images


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Qwen2.5-VL with tokenizer and processor."""
    from recipes.tiny.model import build_model, save_model

    directory = tmp_path_factory.mktemp("model")
    save_model(build_model(0, hidden=64, layers=1, vision_hidden=32, vision_layers=1), directory)
    return directory


def _changed(model: Path, out: Path, change) -> Path:
    out.mkdir()
    for file in model.iterdir():
        (out / file.name).write_bytes(file.read_bytes())
    tensors = load_file(out / "model.safetensors")
    change(tensors)
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    return out


def test_a_whole_model(model: Path) -> None:
    assert takes_images(model)
    assert "uses every tensor and gives a token for an image" in verify(model)


def test_a_text_model(tmp_path: Path, model: Path) -> None:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    Qwen2ForCausalLM(Qwen2Config(vocab_size=300, num_key_value_heads=2, **sizes)).save_pretrained(tmp_path / "text")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "text" / name).write_bytes((model / name).read_bytes())
    assert not takes_images(tmp_path / "text")
    assert "gives a token for a text" in verify(tmp_path / "text")


def test_tensors_that_the_model_has_no_use_for(model: Path, tmp_path: Path) -> None:
    surplus = _changed(model, tmp_path / "a", lambda t: t.update({"model.layers.9.extra.weight": torch.ones(2)}))
    with pytest.raises(LipoError, match=r"unexpected keys: .*layers\.9\.extra"):
        verify(surplus)
    name = "model.layers.0.mlp.up_proj.weight"
    missing = _changed(model, tmp_path / "b", lambda t: t.pop(name))
    with pytest.raises(LipoError, match=r"missing keys: .*up_proj"):
        verify(missing)


def test_weights_that_overflow(model: Path, tmp_path: Path) -> None:
    huge = _changed(model, tmp_path / "a", lambda t: t["model.norm.weight"].fill_(float("inf")))
    with pytest.raises(LipoError, match="NaN or infinite logits"):
        verify(huge)


def test_a_directory_that_does_not_load(model: Path, tmp_path: Path) -> None:
    broken = _changed(model, tmp_path / "a", lambda t: None)
    config = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps(config | {"model_type": "no_such_model"}))
    with pytest.raises(LipoError, match="transformers cannot use"):
        verify(broken)
