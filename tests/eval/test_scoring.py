import json
from pathlib import Path

import pytest

from eval import BenchmarkConfig
from eval._keys import Sample
from eval.scoring import find_scorer, score_answers, write_scores
from eval.sources import Item
from eval.store import Answer
from lipo.common import LipoError

CONFIG = BenchmarkConfig(Path("math.parquet"), "math")


def _score(response, finish="stop", error=None, truth="13", config=CONFIG):
    sample = Sample("k", Item(4, (("user", "8+5?"),), (), truth), 0, None)
    (row,) = score_answers([sample], {"k": Answer("k", 0, 0, response, 7, 4, 20, finish, error)}, config)
    return row


def test_a_right_answer():
    row = _score("<think>8+5=13</think>\\boxed{13}")
    assert (row.correct, row.status, row.well_formed, row.prediction) == (1.0, "equal", True, "13")
    assert (row.item, row.tokens, row.reasoning_tokens, row.error) == (4, 7, 4, None)


def test_wrong_unparsed_and_truncated_are_told_apart():
    assert _score("<think>8+5=12</think>\\boxed{12}").status == "different"
    row = _score("<think>8+5 is 13, but let me check", finish="length")
    assert (row.correct, row.status, row.truncated) == (0.0, "unparsed", True)


def test_an_error_is_never_scored():
    row = _score("\\boxed{13}", finish="error", error="bad image")
    assert (row.correct, row.status, row.error) == (0.0, "error", "bad image")


def test_a_scorer_that_fails_on_one_answer_makes_a_row(monkeypatch):
    def trip(*_, **__):
        raise RecursionError("too deep")

    monkeypatch.setattr("reward_fns.math.compute_score", trip)
    row = _score("((((")
    assert (row.correct, row.status) == (0.0, "error") and "RecursionError: too deep" in row.error


def test_a_wrong_scorer_option_ends_the_scoring():
    with pytest.raises(LipoError):
        _score("\\boxed{13}", config=BenchmarkConfig(Path("m"), "math", scorer_options={"no_such_option": 1}))


@pytest.mark.parametrize("name", ["nope", "_number", "os", "math.x", ""])
def test_only_public_modules_of_reward_fns_are_scorers(name):
    with pytest.raises(LipoError, match="no scorer"):
        find_scorer(name)


def test_scores_are_written_as_rows(tmp_path):
    write_scores(tmp_path / "s.jsonl", [_score("\\boxed{13}"), _score("\ud800")])
    rows = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    assert [row["correct"] for row in rows] == [1.0, 0.0]


def test_reflections_are_counted():
    assert _score("<think>So it is 12. Wait, I forgot one. So it is 13.</think>\\boxed{13}").reflections == 1
    assert _score("<think>So it is 13. Wait, let me check. So it is 13.</think>\\boxed{13}").reflections == 0
