import json
import re
from importlib.resources import files

import numpy as np
import pytest

from lipo.common import LipoError, load_yaml
from recipes.tiny.study.collect import collect
from recipes.tiny.study.config import Run, Study, check
from recipes.tiny.study.render import markdown, picture
from recipes.tiny.study.runs import answers_directory, training_directory, training_overrides


@pytest.fixture
def study(tmp_path):
    return Study(
        title="T",
        out=tmp_path,
        results=tmp_path / "results",
        tasks=["math"],
        seeds=[1, 2],
        methods={"lipo": ["algorithm.adv_estimator=lipo"], "grpo": ["algorithm.adv_estimator=grpo"]},
        reference="grpo",
        test_items=40,
        samples=2,
    )


def write_answers(study, method, seed, accuracy, tokens):
    """Every item gets one right answer of two with probability ``accuracy``, and the same number of tokens."""
    generator = np.random.default_rng(seed)
    rows = []
    for item in range(study.test_items):
        right = float(generator.random() < accuracy)
        rows += [{"item": item, "sample": sample, "correct": right, "tokens": tokens} for sample in range(2)]
    file = answers_directory(study, "math", seed) / "scores" / method / "math.jsonl"
    file.parent.mkdir(parents=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def results(study):
    for seed in study.seeds:
        write_answers(study, "base", seed, 0.5, 100)
        write_answers(study, "grpo", seed, 1.0, 80)
        write_answers(study, "lipo", seed, 1.0, 20 * seed)
        for method in study.methods:
            metrics = training_directory(study, Run("math", method, seed)) / "metrics"
            metrics.mkdir(parents=True)
            data = {"critic/score/mean": 0.5, "response_length/mean": 90.0}
            (metrics / "attempt-0001.jsonl").write_text(json.dumps({"step": 1, "data": data}) + "\n")
    return collect(study, check(study))


def test_figures(results):
    lipo = results["tasks"]["math"]["lipo"]
    assert lipo["accuracy"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert lipo["tokens"]["value"] == 30
    # The interval covers what other seeds could give.
    assert (lipo["tokens"]["low"], lipo["tokens"]["high"]) == (20, 40)
    assert lipo["token_ratio"]["value"] == 30 / 80
    assert lipo["accuracy_difference"]["value"] == 0
    assert lipo["no_worse"]
    assert lipo["per_seed"] == [{"accuracy": 1.0, "tokens": 20.0}, {"accuracy": 1.0, "tokens": 40.0}]
    base = results["tasks"]["math"]["base"]
    assert not base["no_worse"]
    assert base["accuracy"]["low"] < base["accuracy"]["value"] < base["accuracy"]["high"]
    assert "token_ratio" not in results["tasks"]["math"]["grpo"]
    assert results["curves"]["math-lipo-2"] == [{"step": 1, "tokens": 90.0, "score": 0.5}]
    assert json.loads(json.dumps(results)) == results


def test_table_and_picture_come_from_the_json_alone(results):
    table = markdown(results)
    assert "| `lipo` | 100.0 % (100.0 – 100.0) | 30.0 (20.0 – 40.0) | +0.0 (+0.0 to +0.0), no worse | -62 %" in table
    assert "| `grpo` | 100.0 % (100.0 – 100.0) | 80.0 (80.0 – 80.0) | – | – |" in table
    svg = picture(results)
    assert svg == picture(results)
    assert re.search(r"<svg[^>]*>", svg)


def test_an_unfinished_study_is_refused(study):
    write_answers(study, "base", 1, 0.5, 100)
    file = answers_directory(study, "math", 1) / "scores" / "base" / "math.jsonl"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(LipoError, match="has 79 rows"):
        collect(study, check(study))


def test_the_reference_is_trained_first(study):
    assert [run.name for run in check(study)] == ["math-grpo-1", "math-lipo-1", "math-grpo-2", "math-lipo-2"]
    overrides = training_overrides(study, Run("math", "lipo", 2))
    assert "algorithm.adv_estimator=lipo" in overrides
    assert "data.seed=2" in overrides


@pytest.mark.parametrize(
    ("change", "message"),
    [({"reference": "ppo"}, "reference is 'ppo'"), ({"seeds": []}, "no task"), ({"tasks": ["../x"]}, "no name")],
)
def test_bad_studies_are_refused(study, change, message):
    import dataclasses

    with pytest.raises(LipoError, match=message):
        check(dataclasses.replace(study, **change))


def test_shipped_studies_are_valid():
    folder = files("recipes") / "tiny/studies"
    recipes = [
        path for path in folder.iterdir() if path.name.endswith(".yaml") and "\nexperts:" not in path.read_text()
    ]
    assert recipes
    for recipe in recipes:
        assert check(load_yaml(Study, recipe))
