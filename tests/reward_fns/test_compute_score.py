import importlib
import json

import numpy as np
import pytest

import reward_fns.math
import reward_fns.ocr
import reward_fns.structured
from lipo.common import LipoError

MODULES = (reward_fns.math, reward_fns.structured, reward_fns.ocr)
GOOD = "<think>47+38: 7+8=15, 4+3+1=8</think>\\boxed{85}"


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("ending", ["", "<|im_end|>", "<|im_end|>\n<|endoftext|>", "  \n"])
def test_right_and_well_formed_scores_one(module, ending):
    result = module.compute_score("tiny", GOOD + ending, "85", {"index": 3})
    assert result["score"] == 1.0 and result["acc"] == 1.0 and result["format"] == 1.0
    assert result["status"] == "equal" and result["pred"] == "85"


@pytest.mark.parametrize(
    ("response", "score"),
    [
        ("<think>a</think>\\boxed{84}", 0.1),
        ("\\boxed{85}", 0.9),
        ("<think>a</think>85", 0.0),
        ("<think>a</think>\\boxed{1}\\boxed{85}", 0.9),
        ("<think>a</think>\\boxed{85}\\boxed{1}", 0.0),
        ("<think>\\boxed{85}", 0.0),
        ("", 0.0),
    ],
)
def test_weights_accuracy_and_format(response, score):
    assert reward_fns.math.compute_score("tiny", response, "85")["score"] == pytest.approx(score)


def test_format_weight_is_configurable():
    assert reward_fns.math.compute_score("t", "\\boxed{85}", 85, format_weight=0.25)["score"] == pytest.approx(0.75)
    assert reward_fns.math.compute_score("t", "\\boxed{85}", 85, format_weight=0)["score"] == 1.0


@pytest.mark.parametrize("kwargs", [{"format_wieght": 0.1}, {"format_weight": 1.5}, {"format_weight": "much"}])
def test_wrong_settings_are_refused(kwargs):
    with pytest.raises(LipoError, match="format_w"):
        reward_fns.math.compute_score("t", GOOD, "85", **kwargs)


def test_missing_ground_truth_is_a_data_error():
    with pytest.raises(LipoError, match="ground truth"):
        reward_fns.math.compute_score("t", GOOD, None)


def test_ocr_earns_similarity_but_is_accurate_only_when_exact():
    result = reward_fns.ocr.compute_score("t", "<think>x</think>\\boxed{K7XB}", "K7XA")
    assert result["similarity"] == 0.75 and result["acc"] == 0.0
    assert result["score"] == pytest.approx(0.9 * 0.75 + 0.1)
    assert reward_fns.ocr.compute_score("t", "<think>x</think>\\boxed{ k7x a }", "K7X A")["acc"] == 1.0


def test_long_responses_are_not_looked_at():
    result = reward_fns.math.compute_score("t", "x" * 1_000_000 + GOOD, "85")
    assert result["status"] == "too_long" and result["score"] == 0.0
    result = reward_fns.math.compute_score("t", f"<think>x</think>\\boxed{{{2**9000}}}", "85")
    assert result["status"] == "too_long" and result["score"] == pytest.approx(0.1)


@pytest.mark.slow
def test_results_survive_what_verl_does_to_them():
    metric_utils = importlib.import_module("verl.trainer.ppo.metric_utils")
    responses = [GOOD, "nothing", "x" * 300_000, "<think>a</think>\\boxed{\ud800}", "<think>a</think>\\boxed{84}"]
    results = [m.compute_score("t", r, "85") for m in MODULES for r in responses]
    keys = results[0].keys()
    assert all(result.keys() == keys for result in results)
    columns = {key: [result[key] for result in results] for key in keys}
    for values in columns.values():
        assert np.array(values).dtype != object
    json.dumps(columns, ensure_ascii=False).encode("utf-8")
    uids = [str(i // 5) for i in range(len(results))]
    metrics = metric_utils.process_validation_metrics(["s"] * len(results), uids, columns)["s"]
    assert {"score", "acc", "format", "similarity", "unparsed"} <= metrics.keys()
    assert "status" not in metrics and "maj@5/mean" in metrics["acc"]
    assert metrics["acc"]["mean@5"] == pytest.approx(1 / 5)
