import logging
import math

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from lipo.common import LipoError
from lipo.estimators import RULES
from lipo.estimators.lipo import LipoConfig, lipo
from lipo.verl_plugin import adapter
from lipo.verl_plugin.adapter import as_verl_estimator, drain

LENGTHS = [80, 120, 200, 240, 260, 300, 420, 640]
SCORES = [1, 1, 0, 1, 0, 1, 1, 0]
EXPECTED = [0.5870, 0.6767, -1.0260, 0.9921, -1.0260, 0.7844, 0.0378, -1.0260]


def batch(scores=SCORES, lengths=LENGTHS, width=640, mask_type=torch.int64, reward_type=torch.float32):
    """Rewards on the last token, masks of the given lengths, as verl makes them."""
    mask = (torch.arange(width) < torch.tensor(lengths)[:, None]).to(mask_type)
    rewards = torch.zeros(len(lengths), width, dtype=reward_type)
    for row, (score, length) in enumerate(zip(scores, lengths, strict=True)):
        rewards[row, max(length - 1, 0)] = score
    return {
        "token_level_rewards": rewards,
        "response_mask": mask,
        "index": np.array(["uid"] * len(lengths), dtype=object),
    }


def algorithm(**values):
    config = OmegaConf.create({"norm_adv_by_std_in_grpo": True, "use_kl_in_reward": False, **values})
    OmegaConf.set_struct(config, True)
    return config


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    monkeypatch.setattr(adapter, "_warned", set())
    drain()


@pytest.mark.parametrize("mask_type", [torch.int64, torch.bool, torch.float32, torch.int32])
@pytest.mark.parametrize("reward_type", [torch.float32, torch.bfloat16])
def test_worked_example_through_verl_s_signature(mask_type, reward_type):
    data = batch(mask_type=mask_type, reward_type=reward_type)
    config = algorithm(lipo={"max_length": 1024})
    advantages, returns = as_verl_estimator("lipo")(**data, config=config)
    assert advantages.shape == returns.shape == (8, 640)
    assert advantages.dtype == torch.float32
    for row, length in enumerate(LENGTHS):
        assert advantages[row, :length].tolist() == pytest.approx([EXPECTED[row]] * length, abs=6e-5)
        assert (advantages[row, length:] == 0).all()
    assert torch.equal(advantages, returns)


def test_options_are_checked_and_interpolated():
    root = OmegaConf.create({"data": {"limit": 1024}, "algorithm": {"lipo": {"max_length": "${data.limit}"}}})
    OmegaConf.set_struct(root, True)
    assert as_verl_estimator("lipo")(**batch(), config=root.algorithm)[0][0, 0].item() == pytest.approx(
        0.5870, abs=1e-4
    )
    with pytest.raises(LipoError, match="unknown key 'gama'"):
        as_verl_estimator("lipo")(**batch(), config=algorithm(lipo={"gama": 1}))


def test_division_by_the_deviation_can_be_switched_off():
    plain, _ = as_verl_estimator("lipo")(
        **batch(), config=algorithm(lipo={"max_length": 1024}, norm_adv_by_std_in_grpo=False)
    )
    assert plain[0, 0].item() == pytest.approx(0.5066 * (1.985 - 0.9322), abs=1e-4)


def test_batch_width_serves_with_one_warning(caplog):
    wide = batch(width=1024)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            advantages, _ = as_verl_estimator("lipo")(**wide, config=None)
    assert advantages[:, 0].tolist() == pytest.approx(EXPECTED, abs=6e-5)
    (record,) = caplog.records
    assert "algorithm.lipo.max_length='${data.max_response_length}'" in record.getMessage()
    assert "lipo/truncation" not in drain()


def test_graded_rewards_are_met_with_one_warning(caplog):
    graded = batch(scores=[1, 0.85, 0.7, 1, 0.55, 1, 0.82, 0])
    with caplog.at_level(logging.WARNING):
        for name, options in (
            ("lipo", {}),
            ("lipo", {}),
            ("lipo", {"correct_threshold": 0.95}),
            ("gr3", {}),  # asks for no correctness
        ):
            as_verl_estimator(name)(**graded, config=algorithm(**{name: {"max_length": 1024, **options}}))
        as_verl_estimator("lipo")(**batch(), config=algorithm(lipo={"max_length": 1024}))
    (record,) = caplog.records
    assert "57% of the responses that count as correct have less than the best reward" in record.getMessage()
    assert "set algorithm.lipo.correct_threshold, now 0.5" in record.getMessage()


def test_width_of_the_batch_does_not_matter_where_max_length_is_set(caplog):
    config = algorithm(lipo={"max_length": 1024})
    narrow, wide = (as_verl_estimator("lipo")(**batch(width=width), config=config)[0] for width in (640, 2000))
    assert torch.equal(narrow[:, 0], wide[:, 0])
    assert not caplog.records


def test_padding_and_rejected_rows_get_zero_and_leave_the_group_alone():
    data = batch(scores=[*SCORES, 1, 0], lengths=[*LENGTHS, 0, 0])
    data["index"][8] = "pad0"
    advantages, _ = as_verl_estimator("lipo")(**data, config=algorithm(lipo={"max_length": 1024}))
    assert advantages[:8, 0].tolist() == pytest.approx(EXPECTED, abs=6e-5)
    assert (advantages[8:] == 0).all()


def test_rows_of_different_prompts_interleave():
    data = batch(scores=SCORES * 2, lengths=LENGTHS * 2)
    shuffle = torch.randperm(16, generator=torch.Generator().manual_seed(0))
    uid = np.array(["a"] * 8 + ["b"] * 8, dtype=object)[shuffle.numpy()]
    advantages, _ = as_verl_estimator("lipo")(
        token_level_rewards=data["token_level_rewards"][shuffle],
        response_mask=data["response_mask"][shuffle],
        index=uid,
        config=algorithm(lipo={"max_length": 1024}),
    )
    assert advantages[:, 0].tolist() == pytest.approx([(EXPECTED * 2)[i] for i in shuffle], abs=6e-5)


@pytest.mark.parametrize("reward_type", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("last_token_rejected", [False, True])
def test_kl_in_the_reward_is_a_penalty_not_a_judgement(reward_type, last_token_rejected):
    data = batch(reward_type=reward_type)
    generator = torch.Generator().manual_seed(0)
    kl = 1e-2 * torch.rand(8, 640, generator=generator).to(reward_type) * data["response_mask"]
    data["token_level_rewards"] = (data["token_level_rewards"] - kl).to(reward_type)
    if last_token_rejected:
        data["response_mask"][0, LENGTHS[0] - 1] = 0
    config = algorithm(lipo={"max_length": 1024}, use_kl_in_reward=True)
    advantages, _ = as_verl_estimator("lipo")(**data, config=config)
    # Σ KL reaches 3.2, so the sum of token rewards would call every long right answer wrong.
    total = data["token_level_rewards"].double().sum(-1)
    rewards = data["token_level_rewards"].double()
    score = torch.stack([rewards[i, length - 1] for i, length in enumerate(LENGTHS)])
    expected = lipo(
        score,
        data["response_mask"].sum(-1),
        torch.zeros(8, dtype=torch.int64),
        LipoConfig(max_length=1024),
        penalty=total - score,
    )
    assert advantages[:, 0].tolist() == pytest.approx(expected.advantages.tolist(), abs=1e-5)
    assert drain()["lipo/boosted"] == 4 / 8
    assert drain() == {}


def test_statistics_leave_by_the_side_door():
    as_verl_estimator("lipo")(**batch(), config=algorithm(lipo={"max_length": 640}))
    statistics = drain()
    assert statistics["lipo/optimal_length"] == 250
    assert statistics["lipo/truncation"] == 1 / 8
    assert statistics["lipo/wrong_length"] == pytest.approx(1100 / 3)
    assert all(isinstance(value, float) and math.isfinite(value) for value in statistics.values())
    assert drain() == {}


def test_statistics_of_several_calls_are_averaged():
    config = algorithm(lipo={"max_length": 640})
    as_verl_estimator("lipo")(**batch(), config=config)
    as_verl_estimator("lipo")(**batch(lengths=[100] * 8), config=config)
    assert drain()["lipo/optimal_length"] == (250 + 200) / 2


def test_no_labels_is_an_error():
    with pytest.raises(LipoError, match="lipo got a batch without group labels"):
        as_verl_estimator("lipo")(**{**batch(), "index": None})


def test_bad_rewards_are_named():
    data = batch()
    data["token_level_rewards"][5, 3] = math.nan
    with pytest.raises(LipoError, match="rows 5"):
        as_verl_estimator("lipo")(**data)


def test_empty_batch():
    advantages, _ = as_verl_estimator("lipo")(
        token_level_rewards=torch.zeros(0, 7), response_mask=torch.zeros(0, 7), index=np.array([], dtype=object)
    )
    assert advantages.shape == (0, 7)


@pytest.mark.parametrize("name", sorted(RULES))
def test_every_rule_works_through_the_adapter(name):
    assert as_verl_estimator(name) is as_verl_estimator(name)
    advantages, _ = as_verl_estimator(name)(
        **batch(scores=[*SCORES, 1], lengths=[*LENGTHS, 0]), config=algorithm(), reward_baselines=None
    )
    assert torch.isfinite(advantages).all()
    assert (advantages != 0).any()
    assert (advantages[8] == 0).all()
    assert {"lipo/correct_length", "lipo/wrong_length", "lipo/correct_negative"} <= set(drain())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options", "peer", "peer_options"),
    [
        ("kimi_length", {"weight": 0}, "compute_grpo_outcome_advantage", {}),
        ("kimi_length", {"weight": 0}, "compute_grpo_vectorized_outcome_advantage", {}),
        ("dr_grpo", {}, "compute_grpo_outcome_advantage", {"norm_adv_by_std_in_grpo": False}),
        ("dler", {"max_length": 2000}, "compute_reinforce_plus_plus_baseline_outcome_advantage", {}),
        ("efficient_rl", {"alpha": 0}, "compute_rloo_outcome_advantage", {}),
    ],
)
def test_agrees_with_verl_where_the_length_term_is_off(name, options, peer, peer_options):
    from verl.trainer.ppo import core_algos

    generator = torch.Generator().manual_seed(1)
    lengths = torch.randint(1, 200, (64,), generator=generator).tolist()
    scores = torch.rand(64, generator=generator).round(decimals=1).tolist()
    data = batch(scores=scores, lengths=lengths, width=200)
    data["index"] = np.array([f"uid{i % 8}" for i in range(64)], dtype=object)
    theirs, _ = getattr(core_algos, peer)(
        **{k: v.clone() if k != "index" else v for k, v in data.items()}, **peer_options
    )
    ours, _ = as_verl_estimator(name)(**data, config=algorithm(**{name: options}))
    assert torch.allclose(ours, theirs.float(), atol=2e-5)
