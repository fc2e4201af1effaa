import re
from dataclasses import replace
from pathlib import Path

import pytest

from eval import BenchmarkConfig, Claim, EngineConfig, EvalConfig, JudgeConfig, SamplingConfig, check
from eval.claims import Verdict, check_claims
from eval.config import check_config, check_models
from eval.results import SCHEMA, Average, Cell, Comparison
from lipo.common import LipoError, load_yaml, reference_table

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "recipes" / "tiny" / "eval.yaml"


@pytest.fixture
def config(tmp_path):
    for label in ("base", "math"):
        (tmp_path / label).mkdir()
        for file in ("config.json", "tokenizer_config.json", "model.safetensors"):
            (tmp_path / label / file).write_text("{}")
    return EvalConfig(
        models={"base": tmp_path / "base", "math": tmp_path / "math"},
        baseline="base",
        benchmarks={"math": BenchmarkConfig(tmp_path / "math.parquet", "math")},
        out=tmp_path / "out",
    )


def test_a_whole_config_passes(config):
    check_config(config)
    check_models(config)
    check_claims([Claim("math"), Claim("math", "math")], config)


def test_tiny_recipe_parses_with_overrides():
    config = load_yaml(EvalConfig, RECIPE, ["sampling.samples=2", "engine.replicas=1"])
    assert (config.sampling.samples, config.engine.replicas, config.baseline) == (2, 1, "base")
    assert config.benchmarks["ocr"].scorer == "ocr"
    assert [c.min_token_reduction for c in config.claims] == [0.42, 0.42, 0.42, 0.30]
    check_claims(config.claims, config)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"models": {}}, "nothing to evaluate"),
        ({"benchmarks": {}}, "nothing to evaluate"),
        ({"baseline": "bose"}, "baseline is 'bose'"),
        ({"models": {"../x": Path("x")}, "baseline": "../x"}, "no model name"),
        ({"benchmarks": {"average": BenchmarkConfig(Path("x"), "math")}}, "no benchmark name"),
    ],
)
def test_what_cannot_work_is_refused(config, change, message):
    with pytest.raises(LipoError, match=message):
        check_config(replace(config, **change))


def test_a_model_without_weights_is_refused(config):
    with pytest.raises(LipoError, match="no model 'base'"):
        check_models(replace(config, models={"base": Path("/nonexistent")}))
    (config.models["math"] / "model.safetensors").unlink()
    with pytest.raises(LipoError, match="safetensors"):
        check_models(config)


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        (Claim("ocr"), r"claims\[0\].model is 'ocr'"),
        (Claim("math", "ocr"), r"claims\[0\].benchmark is 'ocr'"),
        (Claim("base"), "compares the baseline with itself"),
    ],
)
def test_claims_about_nothing_are_refused(config, claim, message):
    with pytest.raises(LipoError, match=message):
        check_claims([claim], config)


@pytest.mark.parametrize(
    ("heading", "part"),
    [("A cell", Cell), ("An average", Average), ("A comparison", Comparison), ("A verdict", Verdict)],
)
def test_the_documentation_lists_every_key_of_the_results(heading, part):
    text = (ROOT / "docs" / "evaluation.md").read_text("utf-8")
    table = text.split(f"\n{heading}:\n\n")[1].split("\n\n")[0].splitlines()[2:]
    assert [name for row in table for name in re.findall(r"`(\w+)`", row.split("|")[1])] == list(
        part.__dataclass_fields__
    )


def test_the_documentation_lists_the_top_of_the_results(make_results):
    text = (ROOT / "docs" / "evaluation.md").read_text("utf-8").split("## results.json")[1].split("A cell:")[0]
    assert set(make_results({"base": (0.5, 9)}, items=3).to_json()) <= set(re.findall(r"`(\w+)`", text))
    assert f"`schema` is {SCHEMA}" in text


@pytest.mark.parametrize("part", [EvalConfig, BenchmarkConfig, SamplingConfig, EngineConfig, JudgeConfig, Claim])
def test_the_documentation_lists_every_key(part):
    assert f"\n{reference_table(part)}\n" in (ROOT / "docs" / "evaluation.md").read_text("utf-8")


def test_an_evaluation_is_checked_while_models_are_still_to_be_made(config, tmp_path):
    (tmp_path / "math.parquet").write_bytes(b"")
    check(config)
    later = replace(config, models={**config.models, "merged": Path("not/yet")}, claims=[Claim("merged")])
    with pytest.raises(LipoError, match="no model 'merged' at not/yet"):
        check(later)
    made = [Path("not/yet").absolute()]
    check(later, made)
    for change, message in (
        ({"models": {**later.models, "base": Path("nowhere")}}, "no model 'base' at nowhere"),
        (
            {"benchmarks": {"math": BenchmarkConfig(tmp_path / "none.parquet", "math")}},
            "benchmark 'math' has no file at",
        ),
        ({"benchmarks": {"mathvista": BenchmarkConfig()}, "data_dir": tmp_path}, "lipo data fetch mathvista"),
        ({"benchmarks": {"math": BenchmarkConfig(tmp_path / "math.parquet", "maths")}}, "maths"),
        ({"claims": [Claim("other")]}, r"claims\[0\].model is 'other'"),
    ):
        with pytest.raises(LipoError, match=message):
            check(replace(later, **change), made)
