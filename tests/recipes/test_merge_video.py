"""The expert for video as a fourth one of AMM, on the tiny model."""

from pathlib import Path

import torch
from rich.console import Console
from safetensors.torch import load_file, save_file

from lipo.cli.merge import run_with_bar
from lipo.common import load_yaml
from lipo.training import compose
from merge import MergeConfig
from recipes.tiny.train_base import BASE

FOLDER = Path(__file__).parents[2] / "recipes/tiny"


def load(*overrides):
    return load_yaml(MergeConfig, FOLDER / "merge_video.yaml", overrides)


def test_it_is_merge_yaml_with_one_more_expert():
    three, four = load_yaml(MergeConfig, FOLDER / "merge.yaml"), load()
    assert (four.method, four.base, four.dtype) == ("amm", three.base, three.dtype)
    assert {name: path for name, path in four.experts.items() if name != "video"} == dict(three.experts)
    exported = compose(FOLDER / "video.yaml").lipo.export
    assert str(four.experts["video"].absolute()) == exported


def test_four_experts_are_merged(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    merging = load(f"base={BASE}", "options.steps=30")
    base = load_file(BASE / "model.safetensors")
    deltas = {}
    for number, (name, path) in enumerate(merging.experts.items()):
        generator = torch.Generator().manual_seed(number)
        path.mkdir(parents=True)
        (path / "config.json").write_bytes((BASE / "config.json").read_bytes())
        deltas[name] = {key: 1e-3 * torch.randn(value.shape, generator=generator) for key, value in base.items()}
        changed = {key: value + deltas[name][key] for key, value in base.items()}
        save_file(changed, path / "model.safetensors", metadata={"format": "pt"})
    out = run_with_bar(merging, Console(quiet=True))
    merged = load_file(out / "model.safetensors")
    assert merged.keys() == base.keys()
    key = next(name for name in base if name.endswith("layers.0.mlp.down_proj.weight"))
    change = (merged[key] - base[key]).flatten()
    # Every expert is in it, that of video as much as the others.
    shares = {
        name: torch.cosine_similarity(change, delta[key].flatten(), dim=0).item() for name, delta in deltas.items()
    }
    assert all(share > 0.3 for share in shares.values()), shares
