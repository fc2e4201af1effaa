"""``lipo merge`` from the command line."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from lipo.cli._app import app
from lipo.cli.merge import read_config
from lipo.common import LipoError

RECIPE = (
    "method: average\nbase: {0}/base\nexperts: {{a: {0}/a, b: {0}/b}}\nout: {0}/out\nrules: [{{match: w, use: base}}]\n"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed, name in enumerate(("base", "a", "b")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
        tensor = torch.randn(4, 4, generator=torch.Generator().manual_seed(seed))
        save_file({"layer.weight": tensor}, tmp_path / name / "model.safetensors")
    (tmp_path / "merge.yaml").write_text(RECIPE.format(tmp_path))
    return tmp_path


def test_recipe_with_overrides_and_flags(folder: Path) -> None:
    words = [str(folder / "merge.yaml"), "dtype=bfloat16", "options.scale=0.5"]
    config = read_config(words, [], ["scale=0.25"], {"method": "task_arithmetic", "out": folder / "other"})
    assert (config.method, config.dtype, config.options) == ("task_arithmetic", "bfloat16", {"scale": 0.25})
    assert config.out == folder / "other" and set(config.experts) == {"a", "b"}
    assert config.rules[0].match == "w"


def test_options_belong_to_the_recipes_method(folder: Path) -> None:
    """Another method starts from its own defaults: AMM's steps would be unknown to it."""
    recipe = folder / "merge.yaml"
    recipe.write_text(RECIPE.format(folder) + "options: {scale: 0.5}\n")
    assert read_config([str(recipe)], [], [], {}).options == {"scale": 0.5}
    assert read_config([str(recipe), "method=average"], [], [], {}).options == {"scale": 0.5}
    assert read_config([str(recipe)], [], ["density=0.2"], {"method": "ties"}).options == {"density": 0.2}
    assert read_config([str(recipe), "method=ties"], [], [], {}).options == {}


def test_flags_alone() -> None:
    flags = {"base": Path("B"), "out": Path("O"), "method": "ties", "dtype": "float32"}
    config = read_config(["x/A2", "x/A3", "seed=4"], ["x/A1"], ["density=0.2", "scale=1"], flags)
    assert config.experts == {"A1": Path("x/A1"), "A2": Path("x/A2"), "A3": Path("x/A3")}
    assert config.options == {"density": 0.2, "scale": 1} and config.seed == 4
    named = read_config([], ["math=x/out", "ocr=y/out"], [], flags)
    assert named.experts == {"math": Path("x/out"), "ocr": Path("y/out")}
    assert dataclasses.asdict(named)["dtype"] == "float32"


@pytest.mark.parametrize(
    ("words", "experts", "options", "flags", "message"),
    [
        ([], [], [], {}, "the command line has no key 'base'"),
        (["nowhere.yaml"], [], [], {}, "no recipe at nowhere.yaml"),
        (["a.yaml", "b.yaml"], [], [], {}, "two recipes"),
        ([], ["x/out", "y/out"], [], {}, "two experts are called 'out'"),
        ([], ["x"], ["density"], {"base": "b", "out": "o"}, "--set density has no value"),
        (["metod=ties"], ["x"], [], {"base": "b", "out": "o"}, "did you mean 'method'"),
        (["recipe.yaml", "word"], [], [], {}, "'word' is neither"),
    ],
)
def test_mistakes(words: list, experts: list, options: list, flags: dict, message: str) -> None:
    with pytest.raises(LipoError, match=message):
        read_config(words, experts, options, flags)


def test_dry_run_shows_the_plan_and_writes_nothing(folder: Path) -> None:
    before = sorted(folder.iterdir())
    arguments = ["merge", str(folder / "merge.yaml"), "rules=[]", "--dry-run"]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False, env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert "average" in result.output and "layer.weight" in result.output and "scale=1.0" in result.output
    assert sorted(folder.iterdir()) == before


def test_a_bad_model_is_one_message(folder: Path) -> None:
    (folder / "b" / "model.safetensors").write_bytes(b"short")
    with pytest.raises(LipoError, match="not a safetensors file"):
        CliRunner().invoke(app, ["merge", str(folder / "merge.yaml")], catch_exceptions=False)
    assert not (folder / "out").exists()


@pytest.mark.slow
def test_merge(folder: Path) -> None:
    arguments = ["merge", "--base", str(folder / "base"), "--experts", str(folder / "a"), str(folder / "b")]
    arguments += ["--out", str(folder / "out"), "--method", "task_arithmetic", "--set", "scale=0.5", "workers=1"]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False, env={"COLUMNS": "200"})
    assert result.exit_code == 0 and "1 task_arithmetic tensors" in result.output
    manifest = json.loads((folder / "out" / "manifest.json").read_text())
    assert manifest["config"]["options"] == {"scale": 0.5}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_verify_asks_transformers_and_vllm_about_an_image(tmp_path: Path) -> None:
    base = Path(__file__).parents[3] / "recipes" / "tiny" / "base"
    arguments = ["merge", "--base", str(base), "--experts", f"same={base}", "--out", str(tmp_path / "out"), "--verify"]
    result = CliRunner().invoke(app, [*arguments, "--method", "average"], catch_exceptions=False)
    assert result.exit_code == 0
    assert "verified: transformers loads it, uses every tensor and gives a token for an image" in result.output
    assert "verified: vLLM loads it and gives a token for an image" in result.output
