"""The methods we share with mergekit give the same weights; skipped where mergekit is not installed."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from merge import MergeConfig, build_plan
from merge.methods import DareLinearOptions, DareTiesOptions, dare_linear, dare_ties
from merge.methods._dare import drop_and_rescale
from merge.tensor import merge_tensor
from merge.writer import create

pytest.importorskip("mergekit")

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


@pytest.mark.parametrize("consensus", ["sum", None])
def test_dare_with_the_same_draws(consensus: str | None) -> None:
    """The draws cannot be shared; what is done with the surviving elements can."""
    from mergekit.merge_methods.generalized_task_arithmetic import get_mask

    base, *tau = torch.randn(COUNT + 1, 500, generator=torch.Generator().manual_seed(0))
    experts = [base + t for t in tau]
    dropped = drop_and_rescale(torch.stack(experts) - base, 0.6, seed=5)
    if consensus is None:
        expected, options = dropped.sum(0), DareLinearOptions(drop=0.6, scale=1.0)
        got, _ = dare_linear(base, experts, options, seed=5)
    else:
        mask = get_mask(dropped, method=consensus)
        expected = (dropped * mask).sum(0) / mask.sum(0).clamp(min=1)
        got, _ = dare_ties(base, experts, DareTiesOptions(drop=0.6), seed=5)
    torch.testing.assert_close(got - base, expected, rtol=1e-4, atol=1e-5)
