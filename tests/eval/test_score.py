import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

import eval as evaluation
from eval._record import read_record
from lipo.cli.score import score as score_command
from lipo.common import LipoError


def test_stored_answers_are_scored_without_the_models(stored):
    out = stored()
    results = evaluation.score(out)
    assert [row.correct for row in results.scores["expert"]["math"]] == [0, 1, 0, 1, 0, 1]
    cell = results.cells["base"]["math"]
    assert (cell.accuracy.value, cell.reasoning.mean.value, cell.answer.mean.value) == (0.5, 3.0, 6.0)
    assert json.loads((out / "results.json").read_text())["cells"]["base"]["math"]["items"] == 6
    assert len((out / "scores/expert/math.jsonl").read_text().splitlines()) == 6


def test_corrected_truths_and_changed_scorers_count(stored):
    out = stored()
    frame = pd.read_parquet(out.parent / "math.parquet")
    frame["reward_model"] = [{"ground_truth": "x"}] * len(frame)
    frame.to_parquet(out.parent / "math.parquet")
    assert evaluation.score(out, ["benchmarks.math.scorer=ocr"]).cells["base"]["math"].accuracy.value >= 0.5


def test_the_directory_may_have_moved(stored, tmp_path):
    moved = stored().rename(tmp_path / "moved")
    assert evaluation.score(moved).config.out == moved
    assert (moved / "results.json").exists() and not (tmp_path / "out").exists()


def test_missing_answers_are_counted_and_nothing_is_written(stored):
    out = stored()
    answers = out / "answers/expert/math.jsonl"
    answers.write_text("".join(answers.read_text().splitlines(keepends=True)[:4]))
    with pytest.raises(LipoError, match="lacks answers: 2 of expert on math") as error:
        evaluation.score(out)
    assert f"lipo eval {out / 'config.yaml'}" in error.value.fix and not (out / "results.json").exists()
    with pytest.raises(LipoError, match="lacks answers: 6 of base on math, 6 of expert"):
        evaluation.score(out, ["sampling.seed=1"])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["benchmarks.math.scorer=nope"], "no scorer 'nope'"),
        (["models.third=x"], "has no answers of third"),
        (["margn=0.1"], "unknown key 'margn'"),
        (["judge.model=m"], "no key 'base_url'"),
    ],
)
def test_mistakes_are_named(stored, overrides, message):
    with pytest.raises(LipoError, match=message):
        evaluation.score(stored(), overrides)


def test_a_directory_without_an_evaluation_is_refused(tmp_path, stored):
    with pytest.raises(LipoError, match="no evaluation in"):
        evaluation.score(tmp_path)
    out = stored()
    (out / "provenance.json").write_text("{torn")
    with pytest.raises(LipoError, match="cannot read"):
        evaluation.score(out)


def test_the_record_gives_the_configuration_back_with_absolute_paths(stored, monkeypatch):
    out = stored()
    config, provenance = read_record(out)
    assert config.benchmarks["math"].scorer == "math" and provenance.versions == {"vllm": "vllm 0"}
    assert all(
        Path(path).is_absolute() for path in yaml.safe_load((out / "config.yaml").read_text())["models"].values()
    )


def test_the_command_writes_the_report_and_says_where(stored, capsys):
    out = stored()
    score_command(out, ["title=Anew"])
    assert "# Anew" in (out / "report.md").read_text() and (out / "report.html").exists()
    assert str(out / "report.html") in capsys.readouterr().out
