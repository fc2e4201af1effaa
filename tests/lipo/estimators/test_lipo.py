import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lipo.common import LipoError
from lipo.estimators.lipo import LipoConfig, lipo
from lipo.groups import group_ids

LENGTHS = [80, 120, 200, 240, 260, 300, 420, 640]
MIXED = [1, 1, 0, 1, 0, 1, 1, 0]
WEIGHTS = [0.5066, 0.5945, 0.8187, 0.9608, 0.9608, 0.8187, 0.5066, 0.2101]

lengths_ = st.integers(1, 60)
binary = st.sampled_from([0.0, 1.0])
continuous = st.one_of(st.floats(0, 1, width=32), st.integers(0, 10).map(lambda k: k / 10))
rows_of = lambda reward: st.lists(st.tuples(st.integers(0, 3), lengths_, reward), min_size=1, max_size=24)  # noqa: E731
configs = st.builds(
    LipoConfig,
    max_length=st.sampled_from([30, 60, 100]),
    similarity_threshold=st.sampled_from([0.0, 0.05, 0.1, 0.5, 2.0]),
    boost=st.sampled_from([0.0, 0.5, 1.0]),
    pairs=st.sampled_from(["all", "adjacent"]),
    decay=st.sampled_from(["cosine", "linear", "exponential"]),
    length_scale=st.sampled_from([None, 1.0, 25.0]),
    weight_wrong=st.booleans(),
    weight_advantage=st.sampled_from([True, False, "positive"]),
)


def estimate(rows, config, **options):
    group, length, score = zip(*rows, strict=True)
    return lipo(torch.tensor(score), torch.tensor(length), group_ids(list(group)), config, **options)


def one_group(scores, lengths, config, **options):
    rows = [(0, length, float(score)) for score, length in zip(scores, lengths, strict=True)]
    return estimate(rows, config, **options)


def reference(rows, config, normalize_by_std=True):
    """The rule in plain loops, row by row."""
    result = [0.0] * len(rows)
    for name in {group for group, _, _ in rows}:
        members = [i for i, row in enumerate(rows) if row[0] == name]
        shaped = {}
        for i in members:
            _, length, score = rows[i]
            longer = [j for j in members if rows[j][1] > length]
            if config.pairs == "adjacent":
                nearest = min((rows[j][1] for j in longer), default=None)
                longer = [j for j in longer if rows[j][1] == nearest]
            similar = any(abs(rows[j][2] - score) < config.similarity_threshold - 1e-6 for j in longer)
            x = min(length, config.max_length) / config.max_length
            fade = {
                "cosine": (1 + math.cos(math.pi * x)) / 2,
                "linear": 1 - x,
                "exponential": (math.exp(-3 * x) - math.exp(-3)) / (1 - math.exp(-3)),
            }[config.decay]
            boosted = similar and score >= config.correct_threshold
            shaped[i] = score * (1 + config.boost * fade) if boosted else score
        ordered = sorted(rows[i][1] for i in members)
        n = len(ordered)
        optimum = max(2 * ordered[0], (ordered[(n - 1) // 2] + ordered[n // 2]) / 2)
        weight = {i: math.exp(-abs(rows[i][1] - optimum) / (config.length_scale or optimum)) for i in members}
        if not config.weight_wrong:
            weight |= {i: 1.0 for i in members if rows[i][2] < config.correct_threshold}
        counted = dict.fromkeys(members, 1.0) if config.weight_advantage == "positive" else weight
        total = sum(counted.values())
        mean = sum(counted[i] * shaped[i] for i in members) / total
        deviation = math.sqrt(sum(counted[i] * (shaped[i] - mean) ** 2 for i in members) / total)
        for i in members:
            value = shaped[i] - mean
            if normalize_by_std:
                value /= deviation + 1e-6
            if config.weight_advantage is True or (config.weight_advantage == "positive" and value > 0):
                value *= weight[i]
            result[i] = value
    return result


@pytest.mark.parametrize(
    ("scores", "pairs", "expected"),
    [
        (MIXED, "all", [0.5013, 0.5758, -1.0222, 0.8266, -1.1996, 0.6418, -0.0614, -0.2624]),
        ([1] * 8, "all", [0.4193, 0.4341, 0.3491, 0.2158, 0.1082, -0.1079, -0.5028, -0.9157]),
        (MIXED, "adjacent", [0.7892, 0.1259, -0.9454, 0.2035, -1.1094, 1.0715, 0.1073, -0.2426]),
    ],
)
def test_worked_example(scores, pairs, expected):
    result = one_group(scores, LENGTHS, LipoConfig(max_length=1024, pairs=pairs, weight_wrong=True))
    assert result.advantages.tolist() == pytest.approx(expected, abs=6e-5)


def test_wrong_responses_weigh_one():
    """R_adj = 1.9850, 1.9665, 0, 1.8705, 0, 1.8028, 1, 0; Σ w = 6.3873, μ = 0.9322, σ = 0.9086."""
    expected = [0.5870, 0.6767, -1.0260, 0.9921, -1.0260, 0.7844, 0.0378, -1.0260]
    result = one_group(MIXED, LENGTHS, LipoConfig(max_length=1024))
    assert result.advantages.tolist() == pytest.approx(expected, abs=2e-4)


def test_a_wrong_response_at_the_limit_is_punished_as_any_other():
    lengths, scores = [30, 35, 40, 1024], [1, 1, 0, 0]
    configs = [LipoConfig(max_length=1024, weight_wrong=weight) for weight in (False, True)]
    plain, weighted = (one_group(scores, lengths, config).advantages for config in configs)
    assert plain[3] == plain[2] < -0.5
    assert weighted[2] < -0.5 and -1e-5 < weighted[3] < 0


def test_statistics_of_the_worked_example():
    statistics = one_group(MIXED, LENGTHS, LipoConfig(max_length=640)).statistics
    weights = [weight if score else 1 for weight, score in zip(WEIGHTS, MIXED, strict=True)]
    assert statistics == pytest.approx(
        {
            "optimal_length": 250,
            "boosted": 4 / 8,
            "mean_weight": sum(weights) / 8,
            "correct_length": (80 + 120 + 240 + 300 + 420) / 5,
            "wrong_length": (200 + 260 + 640) / 3,
            "all_correct_groups": 0,
            "all_wrong_groups": 0,
            "correct_negative": 0,
            "partly_correct": 0,
            "truncation": 1 / 8,
        },
        abs=1e-4,
    )


@given(rows_of(continuous), configs, st.booleans())
def test_agrees_with_plain_loops(rows, config, normalize):
    rows = [(group, length, torch.tensor(score).item()) for group, length, score in rows]
    ours = estimate(rows, config, normalize_by_std=normalize).advantages.tolist()
    assert ours == pytest.approx(reference(rows, config, normalize), abs=1e-6, rel=1e-6)


def test_large_group_of_continuous_rewards():
    torch.manual_seed(0)
    scores, lengths = torch.rand(1500, dtype=torch.float64), torch.randint(1, 4000, (1500,))
    for pairs in ("all", "adjacent"):
        config = LipoConfig(max_length=4096, similarity_threshold=0.001, correct_threshold=0.0, pairs=pairs)
        rows = [(0, length, score) for length, score in zip(lengths.tolist(), scores.tolist(), strict=True)]
        ours = lipo(scores, lengths, torch.zeros(1500, dtype=torch.int64), config)
        assert 0.3 < ours.statistics["boosted"] < 0.999 or pairs == "adjacent"
        assert ours.advantages.tolist() == pytest.approx(reference(rows, config), abs=1e-9)


@given(rows_of(continuous), configs, st.randoms(use_true_random=False))
def test_row_order_changes_nothing(rows, config, random):
    order = random.sample(range(len(rows)), len(rows))
    direct, shuffled = estimate(rows, config), estimate([rows[i] for i in order], config)
    assert torch.equal(direct.advantages[order], shuffled.advantages)


@given(rows_of(continuous), configs)
def test_other_groups_change_nothing(rows, config):
    mine = [row for row in rows if row[0] == rows[0][0]]
    places = [i for i, row in enumerate(rows) if row[0] == rows[0][0]]
    assert torch.equal(estimate(rows, config).advantages[places], estimate(mine, config).advantages)


@given(rows_of(continuous), st.booleans())
def test_advantages_of_a_group_sum_to_zero(rows, normalize):
    advantages = estimate(rows, LipoConfig(max_length=60), normalize_by_std=normalize).advantages
    groups = torch.tensor([row[0] for row in rows])
    sums = torch.zeros(4, dtype=torch.float64).index_add_(0, groups, advantages)
    # σ may be as small as a float32 step, so rounding is measured against the advantages.
    assert (sums.abs() <= 1e-9 * (1 + advantages.abs().sum())).all()


@given(st.lists(continuous, min_size=2, max_size=12), lengths_)
def test_equal_lengths_give_grpo_up_to_a_factor(scores, length):
    config = LipoConfig(max_length=60, weight_wrong=True)
    advantages = one_group(scores, [length] * len(scores), config).advantages
    x = torch.tensor(scores).double()
    grpo = (x - x.mean()) / (x.std(unbiased=False) + 1e-6)
    assert advantages.tolist() == pytest.approx((math.exp(-0.5) * grpo).tolist(), abs=1e-7)


@given(st.lists(binary, min_size=2, max_size=12), lengths_)
def test_equal_lengths_and_right_or_wrong_give_grpo_up_to_a_factor(scores, length):
    advantages = one_group(scores, [length] * len(scores), LipoConfig(max_length=60)).advantages
    x = torch.tensor(scores).double()
    factor = math.exp(-0.25) if 0 < sum(scores) < len(scores) else 1
    grpo = (x - x.mean()) / (x.std(unbiased=False) + 1e-6)
    assert advantages.tolist() == pytest.approx((factor * grpo).tolist(), abs=1e-5)


@given(rows_of(continuous), st.sampled_from(["cosine", "linear", "exponential"]))
def test_of_equal_rewards_at_or_above_the_optimum_a_shorter_answer_never_gets_less(rows, decay):
    advantages = estimate(rows, LipoConfig(max_length=60, decay=decay)).advantages
    for name in {row[0] for row in rows}:
        members = [i for i, row in enumerate(rows) if row[0] == name]
        ordered = sorted(rows[i][1] for i in members)
        optimum = max(2 * ordered[0], (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2)
        for i in members:
            for j in members:
                if optimum <= rows[i][1] < rows[j][1] and rows[i][2] == rows[j][2] and advantages[j] >= 0:
                    assert advantages[i] >= advantages[j]


@given(st.lists(lengths_, min_size=1, max_size=12), st.floats(0, 0.49), configs)
def test_groups_of_equally_wrong_answers_get_exactly_zero(lengths, score, config):
    assert (one_group([score] * len(lengths), lengths, config).advantages == 0).all()


@given(rows_of(st.sampled_from([0.0, 0.1])), configs)
def test_a_format_reward_alone_is_never_boosted(rows, config):
    result = estimate(rows, config)
    assert result.statistics["boosted"] == 0
    unboosted = estimate(rows, LipoConfig(**{**vars(config), "boost": 0.0}))
    assert torch.equal(result.advantages, unboosted.advantages)


@given(rows_of(continuous), st.integers(2, 50))
def test_scaling_all_lengths_changes_nothing(rows, factor):
    scaled = [(group, length * factor, score) for group, length, score in rows]
    base = estimate(rows, LipoConfig(max_length=60)).advantages
    assert estimate(scaled, LipoConfig(max_length=60 * factor)).advantages.tolist() == pytest.approx(
        base.tolist(), abs=1e-6
    )


@given(rows_of(binary), configs, st.lists(st.integers(0, 24), max_size=5))
def test_rows_without_tokens_get_zero_and_disturb_nobody(rows, config, places):
    padded = list(rows)
    for place in places:
        padded.insert(min(place, len(padded)), (rows[0][0], 0, 1.0))
    kept = [i for i, row in enumerate(padded) if row[1] > 0]
    result = estimate(padded, config)
    assert torch.equal(result.advantages[kept], estimate(rows, config).advantages)
    assert (result.advantages[[i for i in range(len(padded)) if i not in kept]] == 0).all()
    assert result.statistics == pytest.approx(estimate(rows, config).statistics)


def test_only_rows_without_tokens():
    result = one_group([0, 1], [0, 0], LipoConfig())
    assert result.advantages.tolist() == [0, 0]
    assert result.statistics == {}


@given(configs, continuous, lengths_)
def test_a_lone_row_gets_zero(config, score, length):
    assert one_group([score], [length], config).advantages.tolist() == [0]


def test_identical_rows_get_identical_advantages():
    rows = [1, 1, 1, 0], [5, 5, 7, 7]
    for pairs in ("all", "adjacent"):
        first, second, *_ = one_group(*rows, LipoConfig(max_length=10, pairs=pairs)).advantages.tolist()
        assert first == second > 0


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_reward_that_is_no_number_is_named(bad):
    with pytest.raises(LipoError, match=r"reward of 1 of 3 responses is NaN or infinite \(rows 1\)"):
        one_group([1, bad, 0], [3, 4, 5], LipoConfig())
    with pytest.raises(LipoError, match=r"12 of 12 .* 8, 9 and 2 more"):
        one_group([bad] * 12, [3] * 12, LipoConfig())


def test_shapes_must_agree():
    with pytest.raises(LipoError, match=r"scores have shape \(2,\) but lengths have \(3,\)"):
        lipo(torch.zeros(2), torch.ones(3), torch.zeros(2, dtype=torch.int64))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_any_float_type_of_reward(dtype):
    config = LipoConfig(max_length=1024)
    scores, groups = torch.tensor(MIXED, dtype=dtype), torch.zeros(8, dtype=torch.int64)
    result = lipo(scores, torch.tensor(LENGTHS), groups, config).advantages
    assert torch.equal(result, one_group(MIXED, LENGTHS, config).advantages)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu():
    config = LipoConfig(max_length=1024)
    scores, lengths = torch.tensor(MIXED).float().cuda(), torch.tensor(LENGTHS).cuda()
    result = lipo(scores, lengths, group_ids(["a"] * 8, "cuda"), config).advantages
    assert torch.allclose(result.cpu(), one_group(MIXED, LENGTHS, config).advantages, atol=1e-12)


@given(rows_of(binary), st.sampled_from([True, "positive"]))
def test_a_tiny_length_scale_gives_no_nan(rows, weight):
    rows = [(group, length * 1000, score) for group, length, score in rows]
    config = LipoConfig(max_length=60_000, length_scale=1.0, weight_advantage=weight)
    assert torch.isfinite(estimate(rows, config).advantages).all()


def test_rewards_exactly_the_threshold_apart_are_not_similar():
    config = LipoConfig(max_length=100)
    for dtype in (torch.float32, torch.float64):
        scores = torch.tensor([0.9, 1.0], dtype=dtype)
        result = lipo(scores, torch.tensor([10, 20]), torch.zeros(2, dtype=torch.int64), config)
        assert result.statistics["boosted"] == 0


def test_only_positive_advantages_are_weighted():
    """R_adj as in the worked example; its plain mean is 1.0781, its plain deviation 0.8844."""
    rewards = [1.985, 1.9665, 0, 1.8705, 0, 1.8028, 1, 0]
    weights = [0.5066, 0.5945, 1, 0.9608, 1, 0.8187, 1, 1]
    expected = [w * (reward - 1.0781) / 0.8844 for w, reward in zip(weights, rewards, strict=True)]
    positive = one_group(MIXED, LENGTHS, LipoConfig(max_length=1024, weight_advantage="positive")).advantages
    assert positive.tolist() == pytest.approx(expected, abs=2e-4)


@given(rows_of(continuous), st.sampled_from([True, "positive"]), st.sampled_from([None, 1.0]))
def test_no_advantage_exceeds_the_root_of_the_group(rows, weight, scale):
    config = LipoConfig(max_length=60, weight_advantage=weight, length_scale=scale)
    result = estimate(rows, config).advantages.tolist()
    for (group, _, _), advantage in zip(rows, result, strict=True):
        assert abs(advantage) <= math.sqrt(sum(name == group for name, _, _ in rows)) + 1e-6


def test_with_weighted_statistics_alone_an_advantage_has_no_bound():
    """One over-long response of a lower reward, but correct, hardly counts in σ."""
    config = LipoConfig(max_length=1024, boost=0, weight_advantage=False)
    assert one_group([1, 1, 1, 0.6], [20, 20, 20, 600], config).advantages.min() < -100


@given(rows_of(binary), st.floats(-1, 1))
def test_a_common_penalty_changes_nothing(rows, shift):
    config = LipoConfig(max_length=60)
    group, length, score = (torch.tensor(column) for column in zip(*rows, strict=True))
    base = lipo(score, length, group, config).advantages
    shifted = lipo(score, length, group, config, penalty=torch.full(score.shape, shift, dtype=torch.float64))
    assert shifted.advantages.tolist() == pytest.approx(base.tolist(), abs=1e-6)


def test_a_penalty_takes_no_part_in_the_comparison():
    """A KL term of 0.3 must not make two right answers dissimilar nor a right one wrong."""
    scores, lengths, groups = torch.tensor([1.0, 1.0, 0.0]), torch.tensor([10, 20, 20]), torch.zeros(3).long()
    penalty = torch.tensor([-0.6, 0.0, 0.0])
    config = LipoConfig(max_length=100)
    result = lipo(scores, lengths, groups, config, normalize_by_std=False, penalty=penalty)
    assert result.statistics["boosted"] == pytest.approx(1 / 3)
    shaped = torch.tensor([1 + (1 + math.cos(math.pi / 10)) / 2 - 0.6, 1, 0])
    weights = torch.exp(-torch.tensor([10.0, 0, 0]) / 20)
    mean = (weights * shaped).sum() / weights.sum()
    assert result.advantages.tolist() == pytest.approx((weights * (shaped - mean)).tolist(), abs=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"boosts": 1}, "unknown key 'boosts' in algorithm.lipo; did you mean 'boost'?"),
        ({"boost": -1}, "algorithm.lipo.boost is -1.0; give a number at least 0"),
        ({"pairs": "some"}, "use one of 'all', 'adjacent'"),
        ({"decay": 1}, "algorithm.lipo.decay is 1"),
        ({"max_length": 0}, "at least 1"),
        ({"weight_advantage": "negative"}, "use one of True, False, 'positive'"),
        ({"similarity_threshold": "wide"}, "algorithm.lipo.similarity_threshold is 'wide'"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(LipoError, match="lipo") as error:
        lipo.options(options)
    assert message in str(error.value)


def test_options_as_they_come_from_a_command_line():
    config = lipo.options({"weight_advantage": "positive", "max_length": 512, "boost": 2})
    assert config == LipoConfig(max_length=512, boost=2.0, weight_advantage="positive")
