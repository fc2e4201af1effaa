"""Every recipe × profile × rule composes, and verl itself accepts it."""

import importlib.util
import re
import warnings
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf, open_dict
from verl.trainer.ppo.utils import need_critic, need_reference_policy
from verl.utils.config import omega_conf_to_dataclass, validate_config
from verl.utils.import_utils import load_extern_object

from eval import EvalConfig
from eval.benchmarks import benchmark_names, find_declaration
from eval.scoring import find_scorer
from lipo.cli._recipes import find_recipe
from lipo.cli.run import read_pipeline
from lipo.common import LipoError, load_yaml
from lipo.estimators import RULES
from lipo.sft import compose as compose_sft
from lipo.sft.dataset import TimedDataset
from lipo.training import compose
from lipo.training.preflight import _check_estimator
from merge import MergeConfig
from merge.methods import get_method
from reward_fns import auto
from reward_fns.video import compute_score

FOLDER = Path(__file__).parents[3] / "recipes/qwen2_5_vl_3b"
RECIPES = ("math", "structured", "ocr", "mixture")
PROFILES = sorted(p.stem for p in (FOLDER / "profile").glob("*.yaml") if p.stem != "gpu")
ALGORITHMS = sorted(p.stem for p in (FOLDER / "rule").glob("*.yaml"))


def composed(recipe="math", profile="8x80gb", rule="lipo", *more):
    return compose(FOLDER / f"{recipe}.yaml", [f"profile={profile}", f"rule={rule}", *more])


def test_there_is_what_the_page_promises():
    assert PROFILES == ["1x80gb", "2x8", "8x80gb", "cpu", "lora_24gb"]
    assert ALGORITHMS == ["dapo", "dapo_lipo", "grpo", "lipo"]


@pytest.mark.parametrize("rule", ALGORITHMS)
@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("recipe", RECIPES)
def test_verl_accepts_every_combination(recipe, profile, rule):
    config = composed(recipe, profile, rule)
    _verl_accepts(config)
    assert config.lipo.export.endswith(f"/{rule}/experts/{recipe}")
    assert need_reference_policy(config) == (not rule.startswith("dapo") and profile != "cpu")


@pytest.mark.parametrize("rule", ["published", "lipo"])
@pytest.mark.parametrize("profile", [p for p in PROFILES if p != "cpu"])
def test_verl_accepts_the_video_recipe(profile, rule):
    config = compose(FOLDER / "video.yaml", [f"profile={profile}", f"video_rule={rule}"])
    _verl_accepts(config)
    assert need_reference_policy(config)
    assert config.data.train_files.endswith("/data/video_train.parquet")
    actor, reward = config.actor_rollout_ref.actor, config.reward.custom_reward_function
    assert actor.freeze_vision_tower and actor.kl_loss_coef == 0.01 and actor.optim.lr_scheduler_type == "cosine"
    assert actor.optim.lr == (1e-5 if "lora" in profile else 1e-6)
    assert config.trainer.total_training_steps == 5496 // config.data.train_batch_size
    # The reward itself takes the settings: as published, or without a word on length.
    right = compute_score("nextqa", f"<think>{1200 * 'a'}</think><answer>B</answer>", "B", **reward.reward_kwargs)
    assert right["score"] == {"published": 2.0, "lipo": 1.0}[rule]
    assert config.algorithm.adv_estimator == {"published": "grpo_noise", "lipo": "lipo"}[rule]
    assert config.algorithm[config.algorithm.adv_estimator].max_length == 2048


@pytest.mark.parametrize("file", [FOLDER / "video_sft.yaml", FOLDER.parent / "tiny/video_sft.yaml"])
def test_verl_accepts_the_cold_start(file):
    config = compose_sft(file)
    for section in ("model", "engine", "optim", "checkpoint", "profiler"):
        if section == "model":
            # verl loads a model's tokenizer with its configuration; ours is at hand.
            config.model.path = str(FOLDER.parent / "tiny/base")
        omega_conf_to_dataclass(config[section])
    assert load_extern_object(config.data.custom_cls.path, config.data.custom_cls.name) is TimedDataset
    # The next stage's recipe starts where this one ends.
    assert Path(config.lipo.export).name in file.read_text().split("model.path=")[1].split()[0]


def test_the_tiny_video_recipe_takes_every_rule():
    file = FOLDER.parent / "tiny/video.yaml"
    for rule in ("lipo", "grpo", "grpo_noise"):
        config = compose(file, [f"algorithm.adv_estimator={rule}"])
        _check_estimator(config)
        rollout = config.actor_rollout_ref.rollout
        assert rollout.max_model_len >= config.data.max_prompt_length + config.data.max_response_length


def _verl_accepts(config):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        validate_config(config, need_reference_policy(config), need_critic(config))
    actor = omega_conf_to_dataclass(config.actor_rollout_ref.actor)
    rollout = omega_conf_to_dataclass(config.actor_rollout_ref.rollout)
    if need_reference_policy(config):
        omega_conf_to_dataclass(_as_the_worker_sees_it(config))
    # verl hands the rule its section as it is (checked below) and makes no dataclass of it.
    omega_conf_to_dataclass(OmegaConf.masked_copy(config.algorithm, [k for k in config.algorithm if k not in RULES]))
    _check_estimator(config)
    sampler = config.trainer.v1.sampler.custom_sampler
    assert sampler.path is None or importlib.util.find_spec(sampler.path.removeprefix("pkg://"))
    assert actor.engine.strategy == "fsdp2" and actor.strategy == "fsdp2"
    assert rollout.name == "vllm" and rollout.load_format == "auto"
    # One sequence must fit into a packed micro-batch, and in vLLM.
    longest = config.data.max_prompt_length + config.data.max_response_length
    assert rollout.max_model_len >= longest
    if config.trainer.device != "cpu":
        assert actor.use_dynamic_bsz and actor.ppo_max_token_len_per_gpu >= longest
        assert config.actor_rollout_ref.model.use_remove_padding and config.actor_rollout_ref.model.use_fused_kernels
        assert actor.fsdp_config.model_dtype == "fp32" and "hf_model" in actor.checkpoint.save_contents


def _as_the_worker_sees_it(config):
    """The reference's section with the keys renamed as in verl's engine_workers.py:545."""
    section = config.actor_rollout_ref.ref.copy()
    names = ("micro_batch_size", "micro_batch_size_per_gpu", "max_token_len_per_gpu")
    with open_dict(section):
        section.ppo_mini_batch_size = config.actor_rollout_ref.actor.ppo_mini_batch_size
        section.use_dynamic_bsz = section.pop("log_prob_use_dynamic_bsz")
        for name in names:
            section[f"ppo_{name}"] = section.pop(f"log_prob_{name}")
    return section


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_changes_hardware_not_the_experiment(profile):
    """All but the tiny model's: but for the rate, which adapters want higher, the same algorithm everywhere."""
    if profile == "cpu":
        return
    kept = ("data", "algorithm", "reward")
    base, other = composed(), composed(profile=profile)
    assert {k: base[k] for k in kept} == {k: other[k] for k in kept}
    actor = [OmegaConf.to_container(c.actor_rollout_ref.actor) for c in (base, other)]
    for key in ("ppo_max_token_len_per_gpu", "fsdp_config", *(["optim"] if "lora" in profile else [])):
        for values in actor:
            values.pop(key)
    assert actor[0] == actor[1]


def test_the_rules_differ_where_their_papers_do():
    lipo, grpo, dapo = (composed(rule=rule) for rule in ("lipo", "grpo", "dapo"))
    assert [c.algorithm.adv_estimator for c in (lipo, grpo, dapo)] == ["lipo", "grpo", "soft_overlong"]
    assert lipo.algorithm.lipo.max_length == dapo.algorithm.soft_overlong.max_length == 2048
    assert lipo.actor_rollout_ref == grpo.actor_rollout_ref
    assert dapo.actor_rollout_ref.actor.clip_ratio_high == 0.28 and not dapo.actor_rollout_ref.actor.use_kl_loss


@pytest.mark.parametrize("recipe", RECIPES)
def test_lipo_in_the_recipe_of_dapo_differs_in_the_estimator_alone(recipe):
    rules = ("dapo_lipo", "dapo", "lipo")
    both, dapo, lipo = (OmegaConf.to_container(composed(recipe, "8x80gb", rule, "lipo.rule=any")) for rule in rules)
    assert both["algorithm"]["lipo"] == lipo["algorithm"]["lipo"]
    for config, estimator in ((both, "lipo"), (dapo, "soft_overlong")):
        assert config["algorithm"].pop("adv_estimator") == estimator
        config["algorithm"].pop("lipo", None)
    assert both == dapo


@pytest.mark.parametrize("rule", ["dapo", "dapo_lipo"])
@pytest.mark.parametrize("profile", PROFILES)
def test_dapo_really_filters(profile, rule):
    """verl leaves filter_groups aside, without a word, where a custom sampler is set (trainer_base.py:165)."""
    config = composed(profile=profile, rule=rule)
    assert config.algorithm.filter_groups.enable
    assert config.trainer.v1.sampler.custom_sampler.path is None


def test_every_value_says_where_it_is_from():
    text = (FOLDER / "shared.yaml").read_text("utf-8")
    marks = re.findall(r"\[(paper|R1-ShareVL|EasyR1|verl|ours)\]", text)
    assert len(marks) > 35
    named = {"data.train_batch_size": 512, "actor_rollout_ref.actor.ppo_mini_batch_size": 128,
             "actor_rollout_ref.actor.optim.lr": 1e-6, "actor_rollout_ref.actor.clip_ratio_high": 0.3,
             "actor_rollout_ref.rollout.top_p": 0.99, "data.max_response_length": 2048}  # fmt: skip
    config = composed()
    assert {key: OmegaConf.select(config, key) for key in named} == named


def test_rewards_belong_to_the_task():
    for recipe in RECIPES:
        path = composed(recipe).reward.custom_reward_function.path
        assert path == ("pkg://reward_fns.auto" if recipe == "mixture" else f"pkg://reward_fns.{recipe}")
        assert find_scorer(path.rpartition(".")[2])
    # Wherever the reward may be a similarity, half of it is not yet a right answer.
    assert [composed(r).algorithm.lipo.correct_threshold for r in ("ocr", "mixture")] == [0.95, 0.95]
    assert composed("math").reward.custom_reward_function.reward_kwargs.format_weight == 0.1
    assert {"math", "structured", "ocr"} <= set(auto.SOURCES)


def test_merge_and_evaluation_fit_the_trainings():
    merge = load_yaml(MergeConfig, FOLDER / "merge.yaml")
    assert merge.method == "amm" and merge.dtype == "float32"
    experts = {name: composed(name).lipo.export for name in ("math", "structured", "ocr")}
    assert {name: str(path.absolute()) for name, path in merge.experts.items()} == experts
    for method in ("average", "ties", "wudi", "optmerge"):
        assert get_method(load_yaml(MergeConfig, FOLDER / "merge.yaml", [f"method={method}"]).method).name == method
    evaluation = load_yaml(EvalConfig, FOLDER / "eval.yaml")
    assert len(evaluation.benchmarks) == 10
    assert evaluation.models["base"] == merge.base and evaluation.models["merged"] == merge.out
    assert {label: evaluation.models[label] for label in experts} == dict(merge.experts)


def test_merge_and_evaluation_of_video_fit_the_trainings():
    three, four = (load_yaml(MergeConfig, FOLDER / f"{name}.yaml") for name in ("merge", "merge_video"))
    assert (four.method, four.base, four.dtype) == (three.method, three.base, three.dtype)
    video = {rule: compose(FOLDER / "video.yaml", [f"video_rule={rule}"]) for rule in ("lipo", "published")}
    trained = {rule: config.lipo.export for rule, config in video.items()}
    assert {name: path for name, path in four.experts.items() if name != "video"} == dict(three.experts)
    assert str(four.experts["video"].absolute()) == trained["lipo"]
    evaluation = load_yaml(EvalConfig, FOLDER / "eval_video.yaml")
    models = {name: str(path.absolute()) for name, path in evaluation.models.items()}
    assert {name: models[name] for name in trained} == trained
    assert (evaluation.models["base"], evaluation.models["merged"]) == (four.base, four.out)
    cold_start = compose_sft(FOLDER / "video_sft.yaml").lipo.export
    assert models["cold_start"] == cold_start
    # Both ways of asking, of every benchmark about videos.
    videos = {name for name in benchmark_names() if find_declaration(name).video}
    assert set(evaluation.benchmarks) == {f"{name}+{mode}" for name in videos for mode in ("option", "reason")}
    assert all("reason" in find_declaration(name).modes for name in videos)
    assert (evaluation.frames.frames, evaluation.frames.max_pixels) == (16, 50176)


@pytest.mark.parametrize("profile", PROFILES)
def test_the_pipeline_holds_together(profile):
    from lipo.cli._stages import read_recipes

    recipes = read_recipes(read_pipeline(FOLDER / "pipeline.yaml", [f"profile={profile}"]))
    exports = {training.trainer.experiment_name: training.lipo.export for training in recipes.trainings}
    assert {name: str(path.absolute()) for name, path in recipes.merging.experts.items()} == exports
    assert {str(recipes.evaluation.models[name].absolute()) for name in exports} == set(exports.values())
    assert recipes.evaluation.models["merged"].absolute() == recipes.merging.out.absolute()
    bases = {recipes.merging.base, recipes.evaluation.models["base"]}
    assert {training.actor_rollout_ref.model.path for training in recipes.trainings} <= {
        *map(str, bases),
        *(str(base.absolute()) for base in bases),
    }
    devices = {training.trainer.device for training in recipes.trainings}
    assert devices == {"cpu" if profile == "cpu" else "cuda"}


def test_the_merge_of_the_cpu_profile_runs(tmp_path, monkeypatch):
    """With another method by one override; experts are what the trainings of this profile would leave."""
    from rich.console import Console
    from safetensors.torch import load_file, save_file

    from lipo.cli._stages import read_recipes
    from lipo.cli.merge import run_with_bar
    from recipes.tiny.train_base import BASE

    monkeypatch.chdir(tmp_path)
    words = ["profile=cpu", "merge_overrides=[method=average]"]
    merging = read_recipes(read_pipeline(FOLDER / "pipeline.yaml", words)).merging
    weights = load_file(BASE / "model.safetensors")
    for number, path in enumerate(merging.experts.values(), start=1):
        path.mkdir(parents=True)
        (path / "config.json").write_bytes((BASE / "config.json").read_bytes())
        save_file({key: value + number for key, value in weights.items()}, path / "model.safetensors")
    merged = load_file(run_with_bar(merging, Console(quiet=True)) / "model.safetensors")
    assert merged.keys() == weights.keys()
    # The mean of what was added: 1, 2 and 3.
    assert all((merged[key] - weights[key] - 2).abs().max() < 1e-4 for key in weights)


def test_an_unknown_profile_names_the_nearest():
    with pytest.raises(LipoError, match="did you mean '8x80gb'"):
        read_pipeline(FOLDER / "pipeline.yaml", ["profile=8x80"])


def test_the_files_are_found_in_the_installed_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for file in FOLDER.rglob("*.yaml"):
        found = find_recipe(Path("recipes/qwen2_5_vl_3b") / file.relative_to(FOLDER))
        assert yaml.safe_load(found.read_text("utf-8"))
