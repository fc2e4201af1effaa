import json
from pathlib import Path

import pytest
import torch

from merge.checkpoint import common_name, open_checkpoint


@pytest.mark.parametrize(
    "name",
    [
        "model.layers.0.mlp.up_proj.weight",
        "model.language_model.layers.0.mlp.up_proj.weight",
        "language_model.model.layers.0.mlp.up_proj.weight",
    ],
)
def test_names_of_all_releases_become_one(name: str) -> None:
    assert common_name(name) == "model.layers.0.mlp.up_proj.weight"


def test_vision_and_head_names() -> None:
    assert common_name("model.visual.merger.ln_q.weight") == "visual.merger.ln_q.weight"
    assert common_name("language_model.lm_head.weight") == "lm_head.weight"


@pytest.mark.parametrize("shards", [1, 3])
def test_opens_single_files_and_shards(tmp_path: Path, write_model, toy, shards: int) -> None:
    problems: list[str] = []
    checkpoint = open_checkpoint(write_model(tmp_path / "m", toy(0), shards), problems)
    assert checkpoint is not None and not problems
    assert checkpoint.tensors.keys() == toy(0).keys()
    assert len(checkpoint.files) == shards and checkpoint.has_index == (shards > 1)


def _problems(directory: Path) -> str:
    problems: list[str] = []
    assert open_checkpoint(directory, problems) is None
    return "\n".join(problems)


def test_missing_directory(tmp_path: Path) -> None:
    assert "no model directory at" in _problems(tmp_path / "nowhere")


@pytest.mark.parametrize("target", ["../secret.safetensors", "/etc/passwd", "a/b.safetensors", "..\\x.safetensors"])
def test_index_must_stay_in_its_folder(tmp_path: Path, write_model, toy, target: str) -> None:
    directory = write_model(tmp_path / "m", toy(0), 2)
    write_model(tmp_path / "other", toy(0))
    (tmp_path / "other" / "model.safetensors").rename(tmp_path / "secret.safetensors")
    index = directory / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    content["weight_map"]["model.norm.weight"] = target
    index.write_text(json.dumps(content))
    assert "points outside its folder" in _problems(directory)


def test_shard_that_is_missing_and_index_that_lies(tmp_path: Path, write_model, toy) -> None:
    directory = write_model(tmp_path / "m", toy(0), 3)
    index = directory / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    content["weight_map"]["ghost.weight"] = "model-00001-of-00003.safetensors"
    del content["weight_map"]["model.embed_tokens.weight"]
    index.write_text(json.dumps(content))
    (directory / "model-00002-of-00003.safetensors").unlink()
    text = _problems(directory)
    assert "model-00002-of-00003.safetensors is missing but listed" in text
    assert "tensor 'ghost.weight' is not in" in text
    assert "tensor 'model.embed_tokens.weight' in" in text and "is not in the index" in text


@pytest.mark.parametrize("content", ["[]", "{", '{"weight_map": [1]}', '{"weight_map": {"a": 1}}'])
def test_broken_index(tmp_path: Path, write_model, toy, content: str) -> None:
    directory = write_model(tmp_path / "m", toy(0), 2)
    (directory / "model.safetensors.index.json").write_text(content)
    assert "model.safetensors.index.json" in _problems(directory)


def test_missing_config(tmp_path: Path, write_model, toy) -> None:
    directory = write_model(tmp_path / "m", toy(0))
    (directory / "config.json").unlink()
    assert "config.json is missing" in _problems(directory)


def test_other_formats_are_recognised(tmp_path: Path, write_model, toy) -> None:
    for name in ("bin", "actor", "empty"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
    (tmp_path / "bin" / "pytorch_model.bin").write_bytes(b"")
    write_model(tmp_path / "actor" / "huggingface", toy(0))
    assert "pickled weights only" in _problems(tmp_path / "bin")
    assert str(tmp_path / "actor" / "huggingface") in _problems(tmp_path / "actor")
    assert "neither" in _problems(tmp_path / "empty")


def test_one_tensor_under_two_names(tmp_path: Path, write_model) -> None:
    tensors = {"model.norm.weight": torch.ones(2), "model.language_model.norm.weight": torch.ones(2)}
    assert "is also in" in _problems(write_model(tmp_path / "m", tensors))


@pytest.mark.parametrize(
    ("config", "head", "tied"),
    [
        ({"tie_word_embeddings": True}, True, True),
        ({"tie_word_embeddings": False}, True, False),
        ({"text_config": {"tie_word_embeddings": True}}, True, True),
        ({}, False, True),
        ({}, True, False),
    ],
)
def test_tied_embeddings(tmp_path: Path, write_model, toy, config: dict, head: bool, tied: bool) -> None:
    tensors = toy(0) | ({"lm_head.weight": torch.ones(5, 8)} if head else {})
    checkpoint = open_checkpoint(write_model(tmp_path / "m", tensors, **config), [])
    assert checkpoint is not None and checkpoint.ties_embeddings == tied
