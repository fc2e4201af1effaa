import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eval import BenchmarkConfig, EvalConfig, Results
from eval.scoring import ScoredAnswer
from eval.sources import Item
from eval.summary import summarise


def _rows(corrects, tokens, samples=1, **changes):
    rows = []
    for i, (correct, length) in enumerate(zip(corrects, tokens, strict=True)):
        values = dict(status="equal" if correct else "different", well_formed=True, truncated=False, error=None)
        values |= changes.get(f"row{i}", {})
        rows.append(
            ScoredAnswer(
                key=f"k{i}",
                item=i // samples,
                sample=i % samples,
                correct=float(correct),
                tokens=length,
                reasoning_tokens=length // 2,
                response="",
                prediction="",
                **values,
            )
        )
    return rows


def _results(scores, margin=0.01, items=None):
    names = list(next(iter(scores.values())))
    config = EvalConfig(
        models={m: Path(m) for m in scores},
        baseline="base",
        benchmarks={n: BenchmarkConfig(Path(n), "math") for n in names},
        out=Path("out"),
        margin=margin,
    )
    items = items or {n: [Item(i, (("user", "?"),), (), "1") for i in range(len(scores["base"][n]))] for n in names}
    results = Results(config, {"vllm": "0"}, dict.fromkeys(scores, "f"), items, scores)
    summarise(results)
    return results


def test_a_cell_by_hand():
    rows = _rows(
        [1, 1, 0, 0],
        [10, 20, 30, 0],
        row2={"status": "unparsed", "truncated": True, "well_formed": False},
        row3={"status": "error", "error": "bad image", "well_formed": False},
    )
    cell = _results({"base": {"math": rows}}).cells["base"]["math"]
    assert (cell.items, cell.samples, cell.accuracy.value) == (4, 4, 0.5)
    assert (cell.tokens.mean.value, cell.tokens.median, cell.tokens.p90) == (20.0, 20.0, 28.0)
    assert (cell.reasoning.mean.value, cell.answer.mean.value, cell.answer.p90) == (10.0, 10.0, 14.0)
    assert (cell.unparsed, cell.truncated, cell.errors, cell.well_formed) == (1, 1, 1, 0.5)
    assert cell.tokens_per_correct == 30.0


def test_nothing_right_has_no_cost_per_right_answer():
    cell = _results({"base": {"math": _rows([0, 0], [5, 5])}}).cells["base"]["math"]
    assert cell.tokens_per_correct is None and cell.accuracy.value == 0.0 and cell.accuracy.high > 0


def test_a_comparison_by_hand():
    base = _rows([1, 1, 1, 0, 0, 0, 0, 0], [10] * 8)
    expert = _rows([1, 1, 0, 1, 1, 1, 0, 0], [4] * 8)
    c = _results({"base": {"math": base}, "expert": {"math": expert}}).comparisons["expert"]["math"]
    assert (c.items, c.became_right, c.became_wrong) == (8, 3, 1)
    assert c.accuracy_difference.value == 0.25
    assert c.p_value == pytest.approx(2 * (1 + 4) / 2**4)
    assert (c.token_ratio.value, c.token_ratio.low, c.token_ratio.high) == pytest.approx((0.4, 0.4, 0.4))
    assert not c.no_worse


def test_no_worse_needs_the_whole_interval_above_the_margin():
    base, expert = _rows([1] * 900, [10] * 900), _rows([1] * 900, [5] * 900)
    scores = {"base": {"math": base}, "expert": {"math": expert}}
    assert _results(scores, margin=0.01).comparisons["expert"]["math"].no_worse
    assert not _results(scores, margin=0.001).comparisons["expert"]["math"].no_worse


def test_average_weighs_benchmarks_equally():
    base = {"math": _rows([1, 0], [10, 10]), "ocr": _rows([1] * 10, [30] * 10)}
    expert = {"math": _rows([1, 1], [10, 10]), "ocr": _rows([1] * 10, [10] * 10)}
    results = _results({"base": base, "expert": expert})
    average = results.averages["base"]
    assert (average.accuracy.value, average.tokens.value, average.judge) == (0.75, 20.0, None)
    assert 0 <= average.accuracy.low < 0.75 < average.accuracy.high <= 1
    average = results.comparisons["expert"]["average"]
    assert (average.accuracy_difference.value, average.token_ratio.value, average.items) == (0.25, 0.5, 12)
    assert average.p_value is None


def test_lengths_are_compared_where_both_answered():
    base = _rows([1, 1, 0], [10, 10, 0], row2={"error": "bad image"})
    expert = _rows([1, 1, 1], [5, 5, 500])
    c = _results({"base": {"math": base}, "expert": {"math": expert}}).comparisons["expert"]["math"]
    assert c.token_ratio.value == 0.5 and c.items == 3


def test_a_baseline_without_an_answer_has_no_ratio():
    base = _rows([0], [0], row0={"error": "bad image"})
    c = _results({"base": {"m": base}, "x": {"m": _rows([1], [5])}}).comparisons["x"]["m"]
    assert c.token_ratio is None


def test_several_samples_per_item_are_averaged_first():
    generator = np.random.default_rng(0)
    draws = [generator.random(200).round().tolist() for _ in range(2)]
    base, expert = (_rows(d, [10] * 200, samples=4) for d in draws)
    results = _results({"base": {"math": base}, "expert": {"math": expert}})
    cell = results.cells["base"]["math"]
    assert (cell.items, cell.samples) == (50, 200)
    assert cell.accuracy.value == pytest.approx(np.mean(draws[0]))
    c = results.comparisons["expert"]["math"]
    assert c.p_value is None and c.became_right is None
    assert c.accuracy_difference.low < np.mean(draws[1]) - np.mean(draws[0]) < c.accuracy_difference.high


def test_json_is_plain_and_whole(make_results, tmp_path):
    results = make_results({"base": (0.5, 90), "math": (0.6, 40)}, ("math", "ocr"), items=20)
    results.write_json(tmp_path / "results.json")
    data = json.loads((tmp_path / "results.json").read_text())
    assert data["schema"] == 2 and data["baseline"] == "base"
    assert set(data["cells"]["math"]["ocr"]["accuracy"]) == {"value", "low", "high"}
    assert set(data["comparisons"]) == {"math"} and set(data["comparisons"]["math"]) == {"math", "ocr", "average"}
    assert data["benchmarks"]["ocr"] == {"source": "ocr.parquet", "scorer": "ocr", "items": 20}


def test_several_samples_give_pass_and_majority():
    rows = _rows([1, 0, 0, 0, 1, 1, 0, 1], [10] * 8, samples=4)
    rows = [replace(row, prediction="7" if row.correct else "9") for row in rows]
    cell = _results({"base": {"math": rows}}).cells["base"]["math"]
    assert {k: e.value for k, e in cell.pass_at.items()} == pytest.approx({"1": 0.5, "2": 0.75, "4": 1.0})
    assert cell.majority.value == 0.5 and cell.accuracy.value == 0.5
    alone = _results({"base": {"math": _rows([1, 0], [5, 5])}}).cells["base"]["math"]
    assert (alone.pass_at, alone.majority) == ({}, None)


def test_questions_about_one_image_widen_every_interval():
    def cells(images):
        scores = {"base": {"m": _rows([1, 1, 0, 0] * 50, [9] * 200)}, "x": {"m": _rows([1, 1, 1, 1] * 50, [5] * 200)}}
        items = [Item(i, (("user", f"{i}?"),), (bytes([i // images]),), "1") for i in range(200)]
        results = _results(scores, items={"m": items})
        return results.cells["base"]["m"], results.comparisons["x"]["m"]

    (alone, change), (shared, clustered) = cells(1), cells(2)
    assert (alone.clusters, shared.clusters) == (200, 100)
    assert (shared.accuracy.value, clustered.accuracy_difference.value) == (0.5, 0.5)
    assert shared.accuracy.low < alone.accuracy.low - 0.02
    assert clustered.accuracy_difference.low < change.accuracy_difference.low - 0.02
    assert clustered.p_value == pytest.approx(0.5**49) and change.p_value == pytest.approx(0.5**99)


def test_categories_have_cells_of_their_own():
    groups = [{"subject": "algebra"}, {"subject": "geometry", "level": "hard"}, {"subject": "geometry"}, {}]
    items = [Item(i, (("user", "?"),), (), "1", groups=g) for i, g in enumerate(groups)]
    results = _results({"base": {"m": _rows([1, 1, 0, 1], [10, 20, 30, 40])}}, items={"m": items})
    found = results.breakdowns["base"]["m"]
    assert {g: {v: c.items for v, c in values.items()} for g, values in found.items()} == {
        "subject": {"algebra": 1, "geometry": 2},
        "level": {"hard": 1},
    }
    cell = found["subject"]["geometry"]
    assert (cell.accuracy.value, cell.tokens.mean.value) == (0.5, 25.0)
    json.dumps(results.to_json(), allow_nan=False)


def test_the_judge_has_a_column_of_its_own():
    rows = _rows([1, 0, 1, 0], [5] * 4, row3={"status": "error", "error": "bad image"})
    verdicts = ["right", "right", "unclear", None]
    rows = [replace(row, judge=verdict) for row, verdict in zip(rows, verdicts, strict=True)]
    results = _results({"base": {"math": rows}})
    cell = results.cells["base"]["math"]
    assert (cell.accuracy.value, cell.judge.value, cell.judge_unclear) == (0.5, 0.5, 1)
    assert results.averages["base"].judge.value == 0.5


@pytest.mark.parametrize(("corrects", "samples"), [([1] * 40, 1), ([1, 0] * 20, 2), ([0.25, 1] * 20, 1)])
def test_one_cluster_shows_nothing(tmp_path, corrects, samples):
    """Of votes, several samples and scores in degrees alike."""
    items = {"math": [Item(i, (("user", "?"),), (), "1", cluster="one picture") for i in range(40 // samples)]}
    rows = _rows(corrects, range(10, 50), samples)
    results = _results({"base": {"math": rows}, "expert": {"math": rows}}, margin=0.3, items=items)
    for name in ("math", "average"):
        c = results.comparisons["expert"][name]
        assert (c.accuracy_difference.low, c.accuracy_difference.high, c.no_worse) == (-1.0, 1.0, False)
        assert c.token_ratio.value == 1.0 and not c.token_ratio.bounded
    accuracy = results.cells["base"]["math"].accuracy
    assert 0 <= accuracy.low < 0.01 and accuracy.high > 0.99
    results.write_json(tmp_path / "results.json")
    written = json.loads((tmp_path / "results.json").read_text())
    mean = written["cells"]["base"]["math"]["tokens"]["mean"]
    assert mean == {"value": 29.5, "low": None, "high": None} and written["averages"]["base"]["tokens"] == mean
    assert written["comparisons"]["expert"]["math"]["token_ratio"] == {"value": 1.0, "low": None, "high": None}
