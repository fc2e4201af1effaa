import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from lipo.common import LipoError
from merge import MergeConfig
from merge import run as run_merge
from recipes.tiny.merge_study.__main__ import run
from recipes.tiny.merge_study.collect import collect
from recipes.tiny.merge_study.config import MergeStudy, check, experts, sources
from recipes.tiny.merge_study.render import markdown, picture
from recipes.tiny.merge_study.runs import choose_scales, compared, measure, merge_all, norm_ratio, read_scores
from recipes.tiny.study.provenance import provenance, versions

TASKS = ["math", "ocr"]


@pytest.fixture
def study(tmp_path):
    return MergeStudy(
        title="T",
        out=tmp_path,
        results=tmp_path / "results",
        tasks=TASKS,
        seeds=[1, 2],
        experts=f"{tmp_path}/experts/{{task}}-{{seed}}",
        methods={"mean": {"method": "average"}, "ties": {"method": "ties", "density": 0.2}},
        reference="mean",
        subject="ties",
        scales=[0.5, 1.0],
        validation_items=10,
        test_items=20,
        samples=2,
    )


def write_scores(study, split, seed, label, right, tokens):
    """The first ``right`` of ten items are right, in every task."""
    items, samples = (study.validation_items, 1) if split == "validation" else (study.test_items, 2)
    for task in study.tasks:
        rows = [
            {"item": item, "sample": sample, "correct": float(item % 10 < right), "tokens": tokens}
            for item in range(items)
            for sample in range(samples)
        ]
        file = study.out / f"eval/{split}-{seed}/scores/{label}/{task}.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_scales_are_chosen_on_validation_items(study):
    for label, right, tokens in (("mean-0.5", 7, 30), ("mean-1", 7, 20), ("ties-0.5", 9, 50), ("ties-1", 8, 10)):
        write_scores(study, "validation", 1, f"merged_{label}", right, tokens)
    # Held-out items would say otherwise.
    write_scores(study, "test", 1, "merged_ties-1", 10, 10)
    assert choose_scales(study, 1) == {"mean": 1.0, "ties": 0.5}
    models = compared(study, 1, {"mean": 1.0, "ties": 0.5})
    assert models["merged_ties"] == study.out / "merged/1/merged_ties-0.5"
    assert models["math_expert"] == f"{study.out}/experts/math-1"
    # By default both have 1, which is the chosen one of mean.
    assert models["merged_ties-default"] == study.out / "merged/1/merged_ties-1"
    assert "merged_mean-default" not in models


@pytest.fixture
def results(study):
    for seed in study.seeds:
        for label, right, tokens in (("base", 5, 100), ("math_expert", 8, 30), ("ocr_expert", 6, 40)):
            write_scores(study, "test", seed, label, right, tokens)
        write_scores(study, "test", seed, "merged_mean", 7, 30)
        write_scores(study, "test", seed, "merged_ties", 7 + seed, 20)
        write_scores(study, "test", seed, "merged_mean-default", 6, 25)
        for label, ratio in (("mean-1", 0.6), ("ties-1", 1.25 if seed == 1 else 1.5)):
            manifest = study.out / f"merged/{seed}/merged_{label}/manifest.json"
            manifest.parent.mkdir(parents=True)
            manifest.write_text(json.dumps({"summary": {"median_norm_ratio": ratio}}))
        for method in ("mean", "ties"):
            for scale, right in ((0.5, 5), (1, 5 + seed)):
                write_scores(study, "validation", seed, f"merged_{method}-{scale}", right, 10 * seed)
    write_scores(study, "test", 2, "merged_ties-default", 4, 15)
    described = provenance("recipes.tiny.merge_study", Path("merging.yaml"), [], study, [versions()])
    scales = {1: {"mean": 0.5, "ties": 1.0}, 2: {"mean": 0.5, "ties": 0.5}}
    measured = {seed: measure(study, seed, chosen) for seed, chosen in scales.items()}
    return described | collect(study, json.loads(json.dumps(measured), object_hook=whole_keys))


def whole_keys(values):
    return {int(key) if key.isdigit() else key: value for key, value in values.items()}


def test_figures(results):
    ties = results["models"]["merged_ties"]
    assert set(ties) == {*TASKS, "average"}
    assert ties["average"]["accuracy"]["value"] == pytest.approx(0.85)
    assert ties["average"]["difference"]["value"] == pytest.approx(0.15)
    assert ties["average"]["tokens"] == {"value": 20.0, "low": 20.0, "high": 20.0}
    # The interval covers what other seeds could give: 80 and 90 %.
    assert ties["math"]["accuracy"]["low"] < 0.8 < 0.9 < ties["math"]["accuracy"]["high"]
    assert results["scales"] == {"mean": [0.5, 0.5], "ties": [1.0, 0.5]}
    assert results["validation"]["ties"] == [
        {"scale": 0.5, "accuracy": 0.5, "tokens": 15.0},
        {"scale": 1.0, "accuracy": 0.65, "tokens": 15.0},
    ]
    assert results["norm_ratios"] == {"mean": [0.3, 0.3], "ties": [1.25, 0.75]}
    assert json.loads(json.dumps(results)) == results


def test_figures_without_a_chosen_scale(results):
    untuned = results["untuned"]
    assert untuned["scales"] == {"mean": 1.0, "ties": 1.0}
    # The first seed chose the default.
    assert untuned["models"]["ties"]["average"]["accuracy"]["value"] == pytest.approx((0.8 + 0.4) / 2)
    assert untuned["models"]["ties"]["average"]["difference"]["value"] == pytest.approx(0.0)
    assert untuned["models"]["mean"]["math"]["tokens"]["value"] == pytest.approx(25)
    (verdict,) = untuned["verdicts"]
    assert (verdict["method"], verdict["other"], verdict["better"]) == ("ties", "mean", False)
    assert verdict["accuracy_difference"]["value"] == pytest.approx(0.0)


def test_a_merge_with_the_default_scale_is_made_where_it_is_not_on_offer(study, monkeypatch):
    monkeypatch.setattr("recipes.tiny.merge_study.runs.run_merge", lambda _: None)
    study = dataclasses.replace(study, scales=[0.5], methods=study.methods | {"sum": {"method": "task_arithmetic"}})
    made = merge_all(study, 1)
    assert sorted(made) == [
        f"merged_{name}" for name in ("mean-0.5", "mean-1", "sum-0.3", "sum-0.5", "ties-0.5", "ties-1")
    ]


def test_other_scales_are_those_of_the_methods_own_merge(study, monkeypatch):
    generator = np.random.default_rng(0)
    weights = {"layers.0.up_proj.weight": generator.normal(size=(6, 4)), "norm.weight": generator.normal(size=4)}
    places = sources(study, 1)
    for distance, place in enumerate((f"{study.out}/base", *places.values())):
        Path(place).mkdir(parents=True)
        changes = {name: distance * 1e-2 * generator.normal(size=values.shape) for name, values in weights.items()}
        tensors = {name: (values + changes[name]).astype(np.float32) for name, values in weights.items()}
        save_file(tensors, f"{place}/model.safetensors")
        Path(place, "config.json").write_text("{}")
    monkeypatch.setattr("recipes.tiny.merge_study.runs.MODEL", f"{study.out}/base")
    methods = {"tsv": {"method": "tsv"}, "dare": {"method": "dare_linear", "drop": 0.5}}
    study = dataclasses.replace(study, methods=methods, reference="dare", subject=None)
    made = merge_all(study, 1)
    for name, options in methods.items():
        direct = MergeConfig(
            base=study.out / "base",
            experts={task: Path(place) for task, place in places.items()},
            out=study.out / "direct" / name,
            method=options["method"],
            options={key: value for key, value in options.items() if key != "method"} | {"scale": 0.5},
            seed=1,
        )
        expected = load_file(run_merge(direct) / "model.safetensors")
        found = load_file(made[f"merged_{name}-0.5"] / "model.safetensors")
        manifest = json.loads((direct.out / "manifest.json").read_text())
        assert norm_ratio(study, 1, name, 0.5) == pytest.approx(manifest["summary"]["median_norm_ratio"], rel=1e-4)
        for key, values in expected.items():
            np.testing.assert_allclose(found[key], values, atol=1e-6)


def test_table_and_picture_come_from_the_json_alone(results):
    page = markdown(results)
    table = page.splitlines()
    assert table[0].startswith("| model | math | ocr | average accuracy")
    row = next(line for line in table if line.startswith("| `ties`"))
    assert "| 85.0 % · 20 | 85.0 % · 20 |" in row and "| +15.0 (" in row and row.endswith("| 1, 0.5 | 1.00 |")
    row = next(line for line in table if line.startswith("| `mean`"))
    assert "| 70.0 % · 30 |" in row and "| – | 0.5, 0.5 | 0.30 |" in row
    assert "- `ties` against `mean`, average: accuracy +15.0 (" in page
    assert "- `ties` against base, average: accuracy +35.0 (" in page
    (line,) = [line for line in table if "against math expert" in line]
    assert "math: accuracy +5.0 (" in line and "tokens -33 % (-33 to -33)" in line and line.endswith(": not inferior.")
    assert "| `ties` | 50.0 % · 15 | 65.0 % · 15 |" in page
    assert "| average tokens | scale | ties is better by |" in page
    assert "| `mean` | 60.0 % · 25 | 60.0 % · 25 | 60.0 % (" in page and "| 1 | +0.0 (" in page
    assert "seeds 1, 2" in page
    assert picture(results) == picture(results)
    assert all(np.isfinite(results["models"][m]["average"]["accuracy"]["value"]) for m in results["models"])


def test_an_unfinished_study_is_refused(study):
    write_scores(study, "test", 1, "base", 5, 100)
    file = study.out / "eval/test-1/scores/base/ocr.jsonl"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(LipoError, match="has 39 rows"):
        read_scores(study, "test", 1, "base")


def make_experts(study):
    for task in study.tasks:
        for seed in study.seeds:
            place = Path(study.experts.format(task=task, seed=seed))
            place.mkdir(parents=True)
            (place / "config.json").write_text("{}")
            (place / "model.safetensors").write_text(f"{task} {seed}")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reference": "amm"}, "reference is 'amm'"),
        ({"subject": "amm"}, "subject is 'amm'"),
        ({"scales": []}, "no task, seed, method or scale"),
        ({"subject": None, "methods": {"mean": {"method": "average", "scale": 1.0}}}, "no method, or a scale"),
        ({"methods": {name: {"method": "average"} for name in ("mean", "ties", "average")}}, "'average' cannot name"),
        ({"trainings": {"math": "long"}}, "trainings are those of math"),
        ({"experts": "models/{task}-{training}-{seed}"}, "trainings are those of no task"),
        ({"others": {"mixture": "nowhere/{seed}"}}, "no model in nowhere/1"),
    ],
)
def test_bad_studies_are_refused(study, change, message):
    make_experts(study)
    check(study)
    with pytest.raises(LipoError, match=message):
        check(dataclasses.replace(study, **change))


def test_experts_may_come_from_different_trainings(study):
    uneven = {"experts": "models/{task}-{training}-{seed}", "trainings": {"math": "long", "ocr": "short"}}
    assert experts(dataclasses.replace(study, **uneven), 2) == {
        "math_expert": "models/math-long-2",
        "ocr_expert": "models/ocr-short-2",
    }


def test_a_study_goes_on_on_another_machine(study, results, monkeypatch):
    make_experts(study)
    evaluated = []
    monkeypatch.setattr("recipes.tiny.merge_study.runs.python", lambda *_: None)
    monkeypatch.setattr("recipes.tiny.merge_study.runs.run_merge", lambda _: None)
    monkeypatch.setattr(
        "recipes.tiny.merge_study.runs.evaluate", lambda study, split, seed, models: evaluated.append((split, seed))
    )
    monkeypatch.setattr(
        "recipes.tiny.merge_study.runs.choose_scales",
        lambda study, seed: {"mean": 0.5, "ties": {1: 1.0, 2: 0.5}[seed]},
    )
    one = run(dataclasses.replace(study, seeds=[1]))
    assert evaluated == [("validation", 1), ("test", 1)]
    # Of the first seed, neither experts nor answers are left.
    for place in (study.out / "eval", study.out / "experts"):
        for path in place.glob("*-1"):
            path.rename(path.with_name(f"gone-{path.name}"))
    both = run(study)
    assert evaluated[2:] == [("validation", 2), ("test", 2)]
    assert both["scales"]["ties"] == [*one["scales"]["ties"], 0.5]
    assert {key: results[key] for key in both} == both
    with pytest.raises(LipoError, match=r"seed-1.json was measured with other settings \(scales\)"):
        run(dataclasses.replace(study, scales=[0.5]))
    # An expert that was trained anew since.
    (study.out / "experts" / "ocr-2" / "model.safetensors").write_text("another")
    with pytest.raises(LipoError, match=r"seed-2.json was measured with other settings \(weights of ocr_expert\)"):
        run(study)


def test_a_model_beside_the_merges_needs_no_new_merges(study, results, monkeypatch):
    make_experts(study)
    evaluated = []
    monkeypatch.setattr("recipes.tiny.merge_study.runs.python", lambda *_: None)
    monkeypatch.setattr("recipes.tiny.merge_study.runs.run_merge", lambda _: None)
    monkeypatch.setattr("recipes.tiny.merge_study.runs.choose_scales", lambda *_: {"mean": 0.5, "ties": 0.5})

    def evaluate(study, split, seed, models):
        evaluated.append((split, seed, [*models]) if split == "mixture" else (split, seed))
        for label in ("merged_mean", "merged_ties", "merged_ties-default", "mixture"):
            write_scores(study, split, seed, label, 9, 25)

    monkeypatch.setattr("recipes.tiny.merge_study.runs.evaluate", evaluate)
    alone = run(study)
    evaluated.clear()
    with_mixture = dataclasses.replace(study, others={"mixture": f"{study.out}/mixture-{{seed}}"})
    with pytest.raises(LipoError, match=r"no model in .*mixture-1"):
        run(with_mixture)
    for seed in study.seeds:
        (study.out / f"mixture-{seed}").mkdir()
        (study.out / f"mixture-{seed}" / "config.json").write_text("{}")
    for _ in range(2):
        beside = run(with_mixture)
        assert evaluated == [("mixture", 1, ["mixture"]), ("mixture", 2, ["mixture"])]
    assert beside["models"]["mixture"]["average"]["accuracy"]["value"] == pytest.approx(0.9)
    assert "mixture" in [verdict["other"] for verdict in beside["verdicts"]]
    assert beside["models"].pop("mixture") and beside["models"] == alone["models"]
