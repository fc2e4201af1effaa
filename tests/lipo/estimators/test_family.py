"""What holds for every rule."""

import dataclasses

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lipo.common import LipoError, reference_table
from lipo.estimators import RULES, Rule, RuleConfig
from lipo.estimators.kimi_length import kimi_length
from lipo.groups import group_ids

rules = pytest.mark.parametrize("rule", RULES.values(), ids=list(RULES))
rows_ = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 60), st.sampled_from([0.0, 0.1, 0.7, 1.0])), min_size=1, max_size=24
)


def estimate(rule, rows, penalty=None, settings=None, **options):
    group, length, score = zip(*rows, strict=True)
    penalty = None if penalty is None else torch.tensor(penalty)
    config = rule.options({"max_length": 50, **(settings or {})})
    return rule(torch.tensor(score), torch.tensor(length), group_ids(list(group)), config, penalty=penalty, **options)


def test_every_file_is_a_rule():
    assert {
        *("lipo", "kimi_length", "soft_overlong", "dr_grpo", "grpo_lead", "efficient_rl", "laser", "shorter_better"),
        *("gfpo", "dler", "l1_exact", "l1_max", "alp", "gr3", "cosine_length", "group_relative_length", "dast"),
        "grpo_noise",
    } <= set(RULES)


@rules
def test_names_options_and_formula_are_documented(rule: Rule):
    assert issubclass(rule.config, RuleConfig)
    assert "Formula" in rule.body.__doc__
    assert all(field.metadata["help"] for field in dataclasses.fields(rule.config))
    assert "correct_threshold" in reference_table(rule.config)
    with pytest.raises(LipoError, match=f"unknown key 'correct_treshold' in algorithm.{rule.name}"):
        rule.options({"correct_treshold": 1})


@rules
@settings(max_examples=15)
@given(rows=rows_, normalize=st.booleans(), random=st.randoms(use_true_random=False))
def test_row_order_changes_nothing(rule, rows, normalize, random):
    order = random.sample(range(len(rows)), len(rows))
    # Noise differs between rows that are alike, by place; test_grpo_noise tests that nothing else moves it.
    settings = {"noise_std": 0} if rule.name == "grpo_noise" else {}
    direct = estimate(rule, rows, settings=settings, normalize_by_std=normalize)
    shuffled = estimate(rule, [rows[i] for i in order], settings=settings, normalize_by_std=normalize)
    assert torch.equal(direct.advantages[order], shuffled.advantages)
    assert direct.statistics == pytest.approx(shuffled.statistics)


@rules
@settings(max_examples=15)
@given(rows=rows_)
def test_rows_without_tokens_get_zero_and_disturb_nobody(rule, rows):
    kept = [i for i, row in enumerate(rows) if row[1] > 0]
    result = estimate(rule, rows)
    assert torch.isfinite(result.advantages).all()
    assert (result.advantages[[i for i in range(len(rows)) if i not in kept]] == 0).all()
    if kept:
        assert torch.equal(result.advantages[kept], estimate(rule, [rows[i] for i in kept]).advantages)


@rules
@settings(max_examples=15)
@given(rows=rows_)
@example(rows=[(0, 7, 0.7), (0, 20, 0.7), (0, 35, 0.0), (0, 35, 0.0), (0, 39, 0.7), (0, 44, 0.7)])
def test_a_penalty_enters_the_baseline(rule, rows):
    """A penalty common to all responses changes nothing, and counts once where it differs."""
    common = estimate(rule, rows, penalty=[-0.25] * len(rows), normalize_by_std=False)
    base = estimate(rule, rows, normalize_by_std=False)
    assert common.advantages.tolist() == pytest.approx(base.advantages.tolist(), abs=1e-9)
    assert common.statistics == pytest.approx(base.statistics)
    twins = [(0, 10, 1.0), (0, 10, 1.0)]
    first, second = estimate(rule, twins, penalty=[-0.5, 0.0], normalize_by_std=False).advantages.tolist()
    assert first < second


@rules
def test_works_without_options_on_unequal_groups(rule):
    group, length = torch.tensor([0, 0, 0, 1, 2, 2]), torch.tensor([3, 5, 9, 7, 2, 4])
    result = rule(torch.tensor([1.0, 0, 1, 1, 0, 0]), length, group)
    assert torch.isfinite(result.advantages).all()
    assert "truncation" not in result.statistics
    assert result.statistics["all_wrong_groups"] == pytest.approx(1 / 3)
    assert result.statistics["all_correct_groups"] == pytest.approx(1 / 3)


@given(rows_, st.booleans())
def test_the_shared_baseline_is_grpo(rows, normalize):
    """With its length term off, a rule gives (R − mean) / (σ + 1e-6), σ with n − 1."""
    rows = [row for row in rows if row[1] > 0] or [(0, 1, 1.0)]
    group, length, score = (torch.tensor(column) for column in zip(*rows, strict=True))
    ours = kimi_length(score, length, group, kimi_length.options({"weight": 0}), normalize_by_std=normalize).advantages
    for name in group.unique():
        mine = score[group == name].double()
        expected = mine - mine.mean()
        if normalize and mine.numel() > 1:
            expected = expected / (mine.std() + 1e-6)
        assert ours[group == name].tolist() == pytest.approx(expected.tolist(), abs=1e-6)


@rules
def test_which_responses_are_correct_matters_where_the_rule_says_so(rule):
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(64, generator=generator).round(decimals=1)
    lengths = torch.randint(1, 60, (64,), generator=generator)
    groups = torch.arange(64) // 8
    low, high = (
        rule(scores, lengths, groups, rule.options({"max_length": 50, "correct_threshold": threshold})).advantages
        for threshold in (0.25, 0.75)
    )
    assert torch.equal(low, high) != rule.uses_correctness


@rules
def test_partly_correct_responses_are_counted(rule):
    rows = [(0, 5, 1.0), (0, 6, 0.995), (0, 7, 0.9), (1, 8, 0.6), (1, 9, 0.4), (1, 10, 0.0)]
    assert estimate(rule, rows).statistics["partly_correct"] == pytest.approx(2 / 4)
    assert estimate(rule, rows, settings={"correct_threshold": 0.95}).statistics["partly_correct"] == 0
