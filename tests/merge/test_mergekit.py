"""The methods we share with mergekit give the same weights, on whole models through both command chains."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from merge import MergeConfig, build_plan
from merge.methods._dare import drop_and_rescale
from merge.tensor import draw_seed, merge_tensor
from merge.writer import create

COUNT = 3


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny Qwen2, which mergekit knows by name, and experts near it."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    folder = tmp_path_factory.mktemp("models")
    config = Qwen2Config(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=False,
    )
    torch.manual_seed(0)
    base = Qwen2ForCausalLM(config)
    base.save_pretrained(folder / "base")
    tensors = load_file(folder / "base" / "model.safetensors")
    paths = {"base": folder / "base"}
    for index in range(COUNT):
        name = f"expert{index}"
        base.config.save_pretrained(folder / name)
        moved = {key: value + 1e-2 * torch.randn_like(value) for key, value in tensors.items()}
        save_file(moved, folder / name / "model.safetensors", metadata={"format": "pt"})
        paths[name] = folder / name
    return paths


def _mergekit(models: dict[str, Path], out: Path, method: str, common: dict, each: dict) -> dict[str, torch.Tensor]:
    from mergekit.config import MergeConfiguration
    from mergekit.merge import MergeOptions, run_merge

    experts = [{"model": str(path), "parameters": each} for name, path in models.items() if name != "base"]
    recipe = {"merge_method": method, "models": experts, "parameters": common, "dtype": "float32"}
    if method != "linear":
        recipe["base_model"] = str(models["base"])
    run_merge(MergeConfiguration.model_validate(recipe), str(out), MergeOptions(copy_tokenizer=False))
    return {name: tensor for file in out.glob("*.safetensors") for name, tensor in load_file(file).items()}


def _ours(models: dict[str, Path], out: Path, method: str, options: dict) -> dict[str, torch.Tensor]:
    experts = {name: path for name, path in models.items() if name != "base"}
    plan = build_plan(MergeConfig(base=models["base"], experts=experts, out=out, method=method, options=options))
    out.mkdir()
    for name, layout in plan.layouts.items():
        create(out / name, layout)
    for job in plan.jobs:
        merge_tensor(job, out, list(plan.experts))
    return load_file(out / "model.safetensors")


@pytest.mark.parametrize(
    ("method", "options", "theirs", "common", "each"),
    [
        ("average", {}, "linear", {"normalize": True}, {"weight": 1.0}),
        ("task_arithmetic", {"scale": 0.4}, "task_arithmetic", {"lambda": 0.4}, {"weight": 1.0}),
        (
            "ties",
            {"scale": 0.8, "density": 0.3},
            "ties",
            {"lambda": 0.8, "normalize": True},
            {"weight": 1.0, "density": 0.3},
        ),
        ("ties", {"density": 1.0}, "ties", {"normalize": True}, {"weight": 1.0, "density": 1.0}),
    ],
)
def test_whole_models(
    models, tmp_path: Path, method: str, options: dict, theirs: str, common: dict, each: dict
) -> None:
    expected = _mergekit(models, tmp_path / "theirs", theirs, common, each)
    got = _ours(models, tmp_path / "ours", method, options)
    assert got.keys() == expected.keys()
    for name, tensor in got.items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-6, atol=1e-7, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize(
    ("method", "options", "common"),
    [
        ("dare_linear", {"drop": 0.6, "scale": 0.5}, {"lambda": 0.5, "normalize": False}),
        ("dare_ties", {"drop": 0.6}, {"normalize": True}),
    ],
)
def test_dare_with_the_same_mask(models, tmp_path: Path, method: str, options: dict, common: dict) -> None:
    """Mergekit gets experts that already lost what our draws drop, and a density of 1, so that it drops no more."""
    experts = {name: path for name, path in models.items() if name != "base"}
    plan = build_plan(MergeConfig(base=models["base"], experts=experts, out=tmp_path, method=method, options=options))
    tensors = {name: load_file(path / "model.safetensors") for name, path in models.items()}
    thinned: dict[str, dict[str, torch.Tensor]] = {name: {} for name in experts}
    for job in plan.jobs:
        base = tensors["base"][job.base.name]
        vectors = torch.stack([tensors[name][job.base.name] - base for name in plan.experts]).flatten(1)
        drop_and_rescale(vectors, options["drop"], draw_seed(job, 0))
        for name, vector in zip(plan.experts, vectors, strict=True):
            thinned[name][job.base.name] = base + vector.view_as(base)
    paths = {"base": models["base"]}
    for name in experts:
        paths[name] = tmp_path / name
        shutil.copytree(models[name], paths[name])
        save_file(thinned[name], paths[name] / "model.safetensors", metadata={"format": "pt"})
    expected = _mergekit(paths, tmp_path / "theirs", method, common, {"weight": 1.0, "density": 1.0})
    got = _ours(models, tmp_path / "ours", method, options)
    assert got.keys() == expected.keys()
    for name, tensor in got.items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-6, atol=3e-7, msg=lambda m, n=name: f"{n}: {m}")
