"""The shipped studies: each override is one that exists, and switches what its name says."""

import dataclasses
import math
from functools import cache
from importlib.resources import files

import pytest
import torch
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from lipo.common import LipoError, load_yaml
from lipo.estimators import RULES
from lipo.sft import compose as compose_sft
from lipo.training import compose
from merge.methods import get_method
from merge.methods.amm import AmmOptions, amm
from merge.methods.wudi import WudiOptions, wudi
from recipes.tiny.make_video_data import SIZES
from recipes.tiny.merge_study.config import MergeStudy
from recipes.tiny.merge_study.config import check as check_merges
from recipes.tiny.study.config import Study, check
from recipes.tiny.study.runs import training_overrides

FOLDER = files("recipes") / "tiny/studies"
STUDIES = [p.name for p in FOLDER.iterdir() if p.name.endswith(".yaml") and "\nexperts:" not in p.read_text("utf-8")]
MERGES = [p.name for p in FOLDER.iterdir() if p.name.endswith(".yaml") and p.name not in STUDIES]

LENGTHS = [80, 120, 200, 240, 260, 300, 420, 640]
FADE = [(1 + math.cos(math.pi * min(length, 288) / 288)) / 2 for length in LENGTHS]


@cache
def recipe(task):
    return compose(files("recipes") / f"tiny/{task}.yaml", [])


load = cache(lambda name: load_yaml(Study, FOLDER / name))
parse_override = cache(lambda text: OverridesParser.create().parse_override(text))


@cache
def composed(name, method):
    """A training's configuration; as Hydra does, refuse '+' for a key that exists, and its lack for a new one."""
    study = load(name)
    run = next(run for run in check(study) if run.method == method)
    config = recipe(run.task).copy()
    OmegaConf.set_struct(config, False)
    for text in (*study.overrides, *study.methods[run.method]):
        assert text in training_overrides(study, run)
        override = parse_override(text)
        key = override.key_or_group
        missing = OmegaConf.select(config, key, default=KeyError) is KeyError
        assert missing == override.is_add(), override.input_line
        OmegaConf.update(config, key, override.value(), force_add=True)
    return config


@cache
def options_of(name, method):
    config = composed(name, method)
    estimator = config.algorithm.adv_estimator
    if estimator not in RULES:
        return estimator, None
    section = config.algorithm.get(estimator) or {}
    return estimator, RULES[estimator].options(OmegaConf.to_container(section, resolve=True) if section else {})


@pytest.mark.parametrize(("name", "method"), [(name, method) for name in STUDIES for method in load(name).methods])
def test_every_training_is_one_that_verl_would_start(name, method):
    config = composed(name, method)
    estimator, options = options_of(name, method)
    if options and RULES[estimator].uses_max_length:
        assert options.max_length == config.data.max_response_length
    assert config.data.train_batch_size * config.actor_rollout_ref.rollout.n == 64
    assert config.actor_rollout_ref.actor.ppo_mini_batch_size == config.data.train_batch_size
    assert config.trainer.total_training_steps % config.trainer.save_freq == 0


def test_studies_that_share_trainings_train_alike():
    owners = {study.out: study for study in map(load, STUDIES)}
    for name in STUDIES:
        study = load(name)
        if study.trainings and study.tasks != ["mixture"]:
            shared = set(owners[study.trainings].overrides)
            assert set(study.overrides) - {"algorithm.adv_estimator=lipo"} == shared, name
        if study.measurements:
            assert study.measurements == owners[study.trainings].results


@pytest.mark.parametrize("name", ["lengths", "dapo"])
def test_the_first_seed_anew_is_trained_as_it_was_first(name):
    study, again = load(f"{name}.yaml"), load(f"{name}_again.yaml")
    own = ("title", "out", "results", "trainings", "measurements", "tasks")
    kept = {key: getattr(again, key) for key in own}
    assert again == dataclasses.replace(study, seeds=study.seeds[:1], **kept)
    assert again.out != study.out and again.results != study.results


def test_lipo_in_the_recipe_of_dapo_differs_in_the_estimator_alone():
    study, lengths = load("dapo.yaml"), load("lengths.yaml")
    assert study.overrides == lengths.overrides
    assert {name: study.methods[name] for name in lengths.methods} == lengths.methods
    punishment = {"algorithm.adv_estimator=soft_overlong", "+algorithm.soft_overlong.max_length=288"}
    sampling = set(study.methods["dapo"]) - punishment
    assert len(sampling) == 3
    assert {*study.methods["dapo_lipo"]} == {*lengths.methods["lipo"], *sampling}


def test_the_family_is_complete():
    assert set(load("family.yaml").methods) == {"grpo", *RULES}
    for name in RULES:
        _, options = options_of("family.yaml", name)
        defaults = RULES[name].config(max_length=options.max_length)
        assert options == defaults


def advantages(method, scores, name="ablation.yaml", lengths=LENGTHS):
    _, options = options_of(name, method)
    groups = torch.zeros(len(scores), dtype=torch.int64)
    return RULES["lipo"](torch.tensor(scores, dtype=torch.float64), torch.tensor(lengths), groups, options)


ALL_RIGHT = [1.0] * 8
ALL_WRONG = [0.1] * 8
MIXED = [1.0, 1.0, 0.1, 1.0, 0.1, 1.0, 1.0, 0.1]


def normal(rewards):
    values = torch.tensor(rewards, dtype=torch.float64)
    return ((values - values.mean()) / (values.std(unbiased=False) + 1e-6)).tolist()


def boosted(gamma, scores, boosted_rows):
    return [score * (1 + gamma * fade * row) for score, fade, row in zip(scores, FADE, boosted_rows, strict=True)]


def test_lipo_is_the_default():
    for name in ("ablation.yaml", "ablation_ocr.yaml"):
        _, options = options_of(name, "lipo")
        threshold = 0.95 if name == "ablation_ocr.yaml" else 0.5
        assert options == RULES["lipo"].config(max_length=288, correct_threshold=threshold)
    assert advantages("lipo", ALL_RIGHT).advantages[0] > 0.3 > 0 > advantages("lipo", ALL_RIGHT).advantages[-1]


def test_without_the_boost_right_answers_are_alike():
    result = advantages("no_boost", ALL_RIGHT)
    assert result.advantages.tolist() == [0] * 8
    assert result.statistics["boosted"] == 0


def test_without_the_weight_the_boosted_rewards_are_normalised_as_in_grpo():
    expected = normal(boosted(1, MIXED, [1, 1, 0, 1, 0, 1, 0, 0]))
    assert advantages("no_weight", MIXED).advantages.tolist() == pytest.approx(expected, abs=1e-5)
    assert advantages("no_weight", MIXED).statistics["mean_weight"] == pytest.approx(1, abs=1e-6)


def test_the_weight_of_right_responses_of_all_and_in_the_statistics_only():
    optimum = 250
    every = torch.exp(-(torch.tensor(LENGTHS, dtype=torch.float64) - optimum).abs() / optimum)
    right = torch.where(torch.tensor(MIXED) > 0.5, every, 1.0)
    rewards = torch.tensor(boosted(1, MIXED, [1, 1, 0, 1, 0, 1, 0, 0]), dtype=torch.float64)

    def plain(weight):
        mean = (weight * rewards).sum() / weight.sum()
        return (rewards - mean) / ((weight * (rewards - mean) ** 2).sum() / weight.sum()).sqrt()

    expected = {
        "lipo": right * plain(right),
        "weight_wrong": every * plain(every),
        "weight_statistics_only": plain(right),
    }
    for name, values in expected.items():
        assert advantages(name, MIXED).advantages.tolist() == pytest.approx(values.tolist(), abs=1e-5), name


def test_the_weight_on_positive_advantages_only():
    weight = torch.exp(-(torch.tensor(LENGTHS, dtype=torch.float64) - 250).abs() / 250)
    rewards = torch.tensor(boosted(1, MIXED, [1, 1, 0, 1, 0, 1, 0, 0]), dtype=torch.float64)
    plain = (rewards - rewards.mean()) / rewards.std(correction=0)
    expected = torch.where(plain > 0, weight * plain, plain)
    assert advantages("weight_positive", MIXED).advantages.tolist() == pytest.approx(expected.tolist(), abs=1e-5)


@pytest.mark.parametrize("name", ["ablation.yaml", "ablation_ocr.yaml"])
def test_without_the_gate_short_wrong_answers_gain(name):
    assert advantages("lipo", ALL_WRONG, name).advantages.tolist() == [0] * 8
    result = advantages("no_gate", ALL_WRONG, name)
    assert result.statistics["boosted"] == 7 / 8
    assert result.advantages[0] > 0.3 > 0 > result.advantages[-1]
    # Even among right ones, and for good answers a gate of 0 changes nothing.
    assert torch.equal(
        advantages("no_gate", ALL_RIGHT, name).advantages, advantages("lipo", ALL_RIGHT, name).advantages
    )


def test_adjacent_pairs_look_at_the_next_longer_only():
    assert advantages("adjacent", MIXED).statistics["boosted"] == 2 / 8  # the first and the sixth
    assert advantages("lipo", MIXED).statistics["boosted"] == 4 / 8


@pytest.mark.parametrize(
    ("method", "scores", "rows"),
    [
        ("lipo", [1.0, 0.9], 0),
        ("xi_02", [1.0, 0.9], 1),
        ("xi_02", [1.0, 0.1], 0),
        ("xi_095", [1.0, 0.1], 1),
        ("xi_095", [1.0, 0.0], 0),
        ("xi_2", [1.0, 0.0], 1),
    ],
)
def test_xi_decides_what_is_similar(method, scores, rows):
    assert advantages(method, scores, lengths=[50, 100]).statistics["boosted"] == rows / 2


@pytest.mark.parametrize(
    ("method", "scores", "rows"),
    [
        ("lipo", [1.0, 0.85], 0),
        ("xi_04", [1.0, 0.775], 1),
        ("xi_04", [1.0, 0.55], 0),
        ("lipo", [0.85, 0.82], 0),
        ("no_gate", [0.85, 0.82], 1),
    ],
)
def test_xi_and_gate_with_graded_rewards(method, scores, rows):
    assert advantages(method, scores, "ablation_ocr.yaml", [50, 100]).statistics["boosted"] == rows / 2


@pytest.mark.parametrize(("method", "gamma"), [("gamma_025", 0.25), ("gamma_05", 0.5), ("gamma_2", 2), ("gamma_4", 4)])
def test_gamma_is_the_size_of_the_boost(method, gamma):
    _, options = options_of("ablation.yaml", method)
    assert options == RULES["lipo"].config(max_length=288, boost=gamma)


@pytest.mark.parametrize(("method", "size"), [("group_4", 4), ("lipo", 8), ("group_16", 16)])
def test_group_sizes(method, size):
    assert composed("ablation.yaml", method).actor_rollout_ref.rollout.n == size


def test_the_mixture_sees_as_many_prompts_as_the_experts_together():
    def prompts(name, method):
        config = composed(name, method)
        return config.trainer.total_training_steps * config.data.train_batch_size

    assert prompts("mixture.yaml", "lipo") == 3 * prompts("lengths.yaml", "lipo")


def test_video_compares_the_published_rule_with_accuracy_and_format_alone():
    rules = {}
    for method in load("video.yaml").methods:
        config = composed("video.yaml", method)
        kwargs = config.reward.custom_reward_function.reward_kwargs
        assert kwargs.count_reflections
        rules[method] = (config.algorithm.adv_estimator, kwargs.combination)
    assert rules == {
        "published": ("grpo_noise", "signed"),
        "grpo": ("grpo", "weighted"),
        "lipo": ("lipo", "weighted"),
    }


def test_the_cold_start_of_video_has_as_many_answers_as_its_recipe_says():
    study = load("video.yaml")
    config = compose_sft(files("recipes") / "tiny/video_sft.yaml", study.cold_start)
    assert study.data["cold_start"] == SIZES["cold_start"]
    assert study.data["cold_start"] % config.data.train_batch_size == 0
    assert study.test_items >= 300


@pytest.mark.parametrize("name", MERGES)
def test_merge_studies_wait_for_their_experts(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # Where studies have run, the experts are there.
    study = load_yaml(MergeStudy, FOLDER / name)
    trained = "lengths_constant" if "constant" in name else "lengths"
    expert = f"math-{'dapo_lipo' if 'dapo' in name else 'lipo'}-{study.seeds[0]}"
    with pytest.raises(LipoError, match=f"no model in runs/studies/{trained}/models/{expert}"):
        check_merges(study)
    for options in study.methods.values():
        method = get_method(options["method"])
        given = {key: value for key, value in options.items() if key != "method"}
        method.options(**given)


def test_all_of_the_papers_methods_are_merged():
    study = load_yaml(MergeStudy, FOLDER / "merging.yaml")
    methods = {options["method"] for options in study.methods.values()}
    assert methods == {
        *("average", "task_arithmetic", "ties", "dare_linear", "dare_ties", "tsv", "iso_c"),
        *("wudi", "optmerge", "swudi", "amm"),
    }


def test_amm_without_its_parts_is_wudi():
    """On experts that moved equally far, alpha is 1; a temperature of 1e9 makes beta 1."""
    torch.manual_seed(0)
    base, changes = torch.randn(6, 5), torch.randn(3, 6, 5)
    experts = list(base + changes / changes.flatten(1).norm(dim=1)[:, None, None])
    options = load_yaml(MergeStudy, FOLDER / "amm_ablation.yaml").methods
    without = amm(base, experts, AmmOptions(**{k: v for k, v in options["alpha_only"].items() if k != "method"}))[0]
    plain = wudi(base, experts, WudiOptions())[0]
    assert torch.allclose(without, plain, atol=1e-4)
    assert not torch.allclose(amm(base, experts, AmmOptions())[0], plain, atol=1e-4)
    with_beta = amm(base, experts, AmmOptions(**{k: v for k, v in options["no_projection"].items() if k != "method"}))
    assert not torch.allclose(with_beta[0], plain, atol=1e-4)


@pytest.mark.parametrize(
    ("method", "changed"),
    [
        ("weight_wrong", {}),
        ("weight_positive", {"weight_advantage": "positive"}),
        ("gamma_025", {"boost": 0.25}),
        ("gamma_025_positive", {"boost": 0.25, "weight_advantage": "positive"}),
    ],
)
def test_weights_and_boosts_on_codes(method, changed):
    _, options = options_of("weights_ocr.yaml", method)
    assert options == RULES["lipo"].config(max_length=288, correct_threshold=0.95, weight_wrong=True, **changed)


def test_the_learning_rate_falls_in_all_studies_but_one():
    for name in STUDIES:
        optimizers = [composed(name, method).actor_rollout_ref.actor.optim for method in load(name).methods]
        kinds = {optimizer.lr_scheduler_type for optimizer in optimizers}
        assert kinds == ({"constant"} if name == "lengths_constant.yaml" else {"cosine"}), name
