"""Merges from recipe to model directory, in this process: whole, again, with mistakes, after lost bytes."""

import json
import os
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lipo.common import LipoError, sha256_file
from merge import MergeConfig, Progress, Rule, run
from merge.methods import AmmOptions, amm


def _config(models: dict[str, Path], out: Path, **changes) -> MergeConfig:
    experts = {name: path for name, path in models.items() if name != "base"}
    return MergeConfig(**({"base": models["base"], "experts": experts, "out": out} | changes))


def test_a_merge_and_the_same_again(models, tmp_path: Path) -> None:
    seen: list[Progress] = []
    config = _config(models, tmp_path / "runs" / "out", options={"steps": 30}, workers=2)
    assert run(config, seen.append) == config.out
    assert "ray" not in sys.modules or not sys.modules["ray"].is_initialized()
    assert seen[0].fraction == 0 and seen[-1].fraction == pytest.approx(1) and seen[-1].done == seen[-1].total == 7
    assert [p.fraction for p in seen] == sorted(p.fraction for p in seen)
    assert [p.name for p in (tmp_path / "runs").iterdir()] == ["out"]
    manifest = json.loads((config.out / "manifest.json").read_text())
    assert manifest["output"] == {"model.safetensors": sha256_file(config.out / "model.safetensors")}
    name = "model.layers.0.mlp.up_proj.weight"
    base, math, ocr = (load_file(models[n] / "model.safetensors")[name] for n in ("base", "math", "ocr"))
    assert torch.equal(
        load_file(config.out / "model.safetensors")[name], amm(base, [math, ocr], AmmOptions(steps=30))[0]
    )

    before = (config.out / "model.safetensors").stat().st_mtime_ns
    assert run(config) == config.out
    assert (config.out / "model.safetensors").stat().st_mtime_ns == before
    with pytest.raises(LipoError, match="exists and is not the result of this merge"):
        run(_config(models, config.out, method="average"))


def test_the_base_among_the_experts(models, tmp_path: Path) -> None:
    """Its file is hashed once, however often it is named."""
    config = MergeConfig(
        base=models["base"], experts={"same": models["base"]}, out=tmp_path / "out", method="average", workers=2
    )
    run(config)
    merged, base = (load_file(place / "model.safetensors") for place in (config.out, models["base"]))
    assert all(torch.equal(merged[name], base[name]) for name in base)


def test_an_error_in_a_worker_is_one_message_and_leaves_no_output(models, tmp_path: Path) -> None:
    tensors = load_file(models["ocr"] / "model.safetensors")
    tensors["model.norm.weight"][0] = float("inf")
    save_file(tensors, models["ocr"] / "model.safetensors")
    config = _config(models, tmp_path / "out", method="average")
    with pytest.raises(LipoError, match=r"'model\.norm\.weight' .* holds NaN or infinite"):
        run(config)
    assert not config.out.exists()


def test_bytes_lost_on_disk_are_made_again(models, tmp_path: Path) -> None:
    """After a crash of the machine the journal may be ahead of the data."""
    tensors = load_file(models["ocr"] / "model.safetensors")
    good = tensors["model.norm.weight"].clone()
    tensors["model.norm.weight"][0] = float("nan")
    path, config = models["ocr"] / "model.safetensors", _config(models, tmp_path / "out", method="average", workers=1)
    save_file(tensors, path)
    stamp = path.stat().st_mtime_ns
    with pytest.raises(LipoError, match="NaN"):
        run(config)
    (partial,) = tmp_path.glob(".out.*.merging/model/model.safetensors")
    size = partial.stat().st_size
    partial.write_bytes(partial.read_bytes()[: size // 2])
    save_file(tensors | {"model.norm.weight": good}, path)
    os.utime(path, ns=(stamp, stamp))
    run(config)
    fresh = _config(models, tmp_path / "fresh", method="average")
    run(fresh)
    assert sha256_file(config.out / "model.safetensors") == sha256_file(fresh.out / "model.safetensors")


def test_tiny_qwen_merges_and_generates(tmp_path: Path) -> None:
    """A Qwen2.5-VL with tied weights goes in, and comes out as a model that transformers loads completely."""
    from transformers import AutoModelForImageTextToText

    from recipes.tiny.model import build_model, save_model

    sizes = {"hidden": 64, "layers": 1, "vision_hidden": 32, "vision_layers": 1}
    base = build_model(0, **sizes)
    save_model(base, tmp_path / "base")
    paths = {"base": tmp_path / "base"}
    for seed, name in enumerate(("math", "ocr"), start=1):
        torch.manual_seed(seed)
        expert = build_model(0, **sizes)
        with torch.no_grad():
            for parameter in expert.parameters():
                parameter.add_(1e-3 * torch.randn_like(parameter))
        save_model(expert, tmp_path / name)
        paths[name] = tmp_path / name
    rules = (Rule(match="^visual", use="base"),)
    out = run(_config(paths, tmp_path / "out", options={"steps": 5}, rules=rules, workers=1))
    model, report = AutoModelForImageTextToText.from_pretrained(out, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"] and not report["mismatched_keys"]
    assert model.lm_head.weight.data_ptr() == model.get_input_embeddings().weight.data_ptr()
    ids = torch.tensor([[1, 2, 3]])
    assert model.generate(input_ids=ids, max_new_tokens=2, do_sample=False).shape == (1, 5)
    names = {p.name for p in out.iterdir()}
    assert {"tokenizer.json", "chat_template.jinja", "preprocessor_config.json", "generation_config.json"} <= names
