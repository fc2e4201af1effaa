from pathlib import Path

import pytest

from eval import BenchmarkConfig
from eval.benchmarks.scores import mme_scores, published_results, wemath_scores
from eval.scoring import ScoredAnswer
from eval.sources import Item


def _item(index, cluster="", groups=None, **extra):
    return Item(index, (("user", "q"),), (), "1", groups=groups or {}, cluster=cluster, extra_info=extra)


def test_mme_by_hand():
    """Category OCR: 3 of 4 right, one of two pictures wholly: 75 + 50; code_reasoning: 2 of 2: 200."""
    groups = {"category": "OCR", "kind": "perception"}
    items = [_item(i, picture, groups) for i, picture in enumerate(["a", "a", "b", "b"])]
    code = {"category": "code_reasoning", "kind": "cognition"}
    items += [_item(4, "c", code), _item(5, "c", code)]
    scores = mme_scores(items, [1, 1, 1, 0, 1, 1])
    assert scores == {"perception": 125, "cognition": 200, "total": 325, "OCR": 125, "code_reasoning": 200}


def test_mme_counts_a_picture_only_when_every_sample_is_right():
    groups = {"category": "OCR", "kind": "perception"}
    assert mme_scores([_item(0, "a", groups), _item(1, "a", groups)], [1, 0.5])["OCR"] == 75


def _problem(number, steps, *answers):
    keys = [f"{steps}steps_{i}" for i in range(1, steps + 1)] + [f"{steps}steps_multi"]
    return [(_item(0, ID=str(number), key=key), answer) for key, answer in zip(keys, answers, strict=True)]


def test_wemath_by_hand():
    """Six problems: CM both ways; CM loose and RM strict; RM both; IG; IK; IK."""
    pairs = [
        *_problem(1, 2, 1, 1, 1),
        *_problem(2, 2, 1, 0, 1),
        *_problem(3, 3, 0, 0, 0, 1),
        *_problem(4, 3, 1, 1, 1, 0),
        *_problem(1, 3, 1, 1, 0, 0),
        *_problem(6, 2, 0, 0, 0),
    ]
    scores = wemath_scores([item for item, _ in pairs], [answer for _, answer in pairs])
    assert scores == {
        "strict": pytest.approx((6 - 0.5 - 2 - 2) / 6),
        "loose": pytest.approx((6 - 0.5 - 2 - 1) / 6),
        "IK": 2,
        "IG": 1,
        "CM_strict": 1,
        "CM_loose": 2,
        "RM_strict": 2,
        "RM_loose": 1,
        "problems": 6,
    }


def test_wemath_leaves_out_problems_that_are_not_whole():
    pairs = _problem(1, 2, 1, 1, 1) + _problem(2, 3, 1, 1, 1, 1)[:3]
    assert wemath_scores([i for i, _ in pairs], [a for _, a in pairs])["problems"] == 1
    assert wemath_scores([_item(0)], [1.0]) == {}


def test_they_are_computed_per_model_from_scored_answers():
    groups = {"category": "OCR", "kind": "perception"}
    items = {"yes": [_item(0, "a", groups), _item(1, "a", groups)], "other": [_item(0)]}

    def rows(*values):
        return [ScoredAnswer("k", i, 0, v, "", True, False, 1, 0, "", "", None) for i, v in enumerate(values)]

    benchmarks = {"yes": BenchmarkConfig(Path("m"), declaration="mme"), "other": BenchmarkConfig(Path("o"), "math")}
    scores = {"a": {"yes": rows(1.0, 1.0), "other": rows(1.0)}, "b": {"yes": rows(0.0, 1.0), "other": rows(0.0)}}
    found = published_results(benchmarks, items, scores)
    assert {m: list(per) for m, per in found.items()} == {"a": ["yes"], "b": ["yes"]}
    assert (found["a"]["yes"]["total"], found["b"]["yes"]["total"]) == (200, 50)
