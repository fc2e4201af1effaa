import dataclasses
import re
import struct
from pathlib import Path

import pytest
import torch

from lipo.common import LipoError
from merge import MergeConfig, Rule, build_plan, check
from merge.plan import is_linear


def _config(models: dict[str, Path], **changes) -> MergeConfig:
    experts = {name: path for name, path in models.items() if name != "base"}
    defaults = {"base": models["base"], "experts": experts, "out": models["base"].parent / "out"}
    return MergeConfig(**(defaults | changes))


def _methods(config: MergeConfig) -> dict[str, str]:
    return {job.name: job.method for job in build_plan(config).jobs}


def test_matrix_methods_take_linear_layers_and_average_the_rest(models) -> None:
    chosen = _methods(_config(models, method="amm"))
    assert {name for name, method in chosen.items() if method == "amm"} == {
        "model.layers.0.mlp.up_proj.weight",
        "model.layers.0.mlp.down_proj.weight",
        "visual.blocks.0.attn.proj.weight",
    }
    assert set(chosen.values()) == {"amm", "average"}


def test_the_averaged_rest_has_the_methods_scale(models) -> None:
    plan = build_plan(_config(models, options={"scale": 0.25}))
    assert {job.options.scale for job in plan.jobs} == {0.25}


@pytest.mark.parametrize(
    ("name", "shape", "linear"),
    [
        ("model.layers.3.self_attn.q_proj.weight", (8, 8), True),
        ("visual.merger.mlp.0.weight", (8, 8), True),
        ("model.embed_tokens.weight", (8, 8), False),
        ("lm_head.weight", (8, 8), False),
        ("visual.patch_embed.proj.weight", (8, 3, 2, 2, 2), False),
        ("visual.pos_embed.weight", (8, 8), False),
        ("model.norm.weight", (8,), False),
        ("model.layers.0.self_attn.q_proj.bias", (8,), False),
    ],
)
def test_which_tensors_are_linear(name: str, shape: tuple[int, ...], linear: bool) -> None:
    assert is_linear(name, shape) == linear


def test_rules_decide_in_order(models) -> None:
    rules = (
        Rule(match=r"down_proj", use="task_arithmetic", options={"scale": 0.5}),
        Rule(match=r"^model\.layers", use="average"),
        Rule(match=r"^visual\.", use="base"),
        Rule(match=r"embed", use="method", options={"scale": 2.0}),
    )
    plan = build_plan(_config(models, rules=rules, options={"scale": 0.7}))
    got = {job.name: (job.method, getattr(job.options, "scale", None)) for job in plan.jobs}
    assert got == {
        "model.layers.0.mlp.down_proj.weight": ("task_arithmetic", 0.5),
        "model.layers.0.mlp.up_proj.weight": ("average", 1.0),
        "model.layers.0.self_attn.q_proj.bias": ("average", 1.0),
        "visual.blocks.0.attn.proj.weight": ("base", None),
        "visual.patch_embed.proj.weight": ("base", None),
        "model.embed_tokens.weight": ("average", 2.0),
        "model.norm.weight": ("average", 0.7),
    }


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (Rule(match="(", use="base"), r"rules\[0\]\.match is not a regular expression"),
        (Rule(match="x", use="bsae"), "unknown merge method 'bsae'"),
        (Rule(match="x", use="base", options={"scale": 1}), "keeps the base and has options"),
        (Rule(match="x", use="average", options={"steps": 1}), r"unknown key 'steps' in rules\[0\]\.options"),
    ],
)
def test_bad_rules(models, rule: Rule, message: str) -> None:
    with pytest.raises(LipoError, match=message):
        build_plan(_config(models, rules=(rule,)))


def test_unknown_option(models) -> None:
    with pytest.raises(LipoError, match="unknown key 'step' in options; did you mean 'steps'"):
        build_plan(_config(models, options={"step": 3}))


def test_all_problems_come_at_once(models, write_model, toy) -> None:
    folder = models["base"].parent
    tensors = toy(1)
    del tensors["model.norm.weight"]
    tensors["extra.weight"] = torch.ones(2)
    tensors["model.embed_tokens.weight"] = torch.ones(6, 8)
    tensors["model.layers.0.self_attn.q_proj.bias"] = torch.ones(8, dtype=torch.int32)
    write_model(folder / "odd", tensors)
    broken = write_model(folder / "short", toy(2)) / "model.safetensors"
    broken.write_bytes(broken.read_bytes()[:-7])
    pickled = write_model(folder / "pickled", toy(2)) / "model.safetensors"
    torch.save(toy(2), pickled)
    overlap = write_model(folder / "overlap", toy(2)) / "model.safetensors"
    header = (
        b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}'
    )
    overlap.write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 12)
    experts = {name: folder / name for name in ("odd", "short", "pickled", "overlap", "nowhere")}
    with pytest.raises(LipoError) as error:
        build_plan(_config(models, experts=experts))
    for text in (
        f"no model directory at {folder / 'nowhere'}",
        "tensor 'model.norm.weight' of the base is missing",
        "tensor 'extra.weight' (model.safetensors) is not in the base",
        "tensor 'model.embed_tokens.weight' (model.safetensors) is F32 [6, 8], but in the base F32 [5, 8]",
        "'model.layers.0.self_attn.q_proj.bias' (model.safetensors) is I32 [8]",
        "short/model.safetensors holds",
        "pickled/model.safetensors is a pickle",
        "tensor 'b' in",
    ):
        assert text in error.value.what
    assert not (folder / "out").exists()


def test_long_lists_of_problems_are_cut(models, write_model) -> None:
    folder = models["base"].parent
    write_model(folder / "other", {f"layer.{i}.weight": torch.ones(2, 2) for i in range(30)})
    with pytest.raises(LipoError) as error:
        build_plan(_config(models, experts={"other": folder / "other"}))
    assert "and 25 more" in error.value.what and error.value.what.count("\n") < 15


def test_no_experts(models) -> None:
    with pytest.raises(LipoError, match="there are no experts"):
        build_plan(_config(models, experts={}))


def test_names_of_another_release_match(models, write_model, toy) -> None:
    folder = models["base"].parent
    renamed = {
        re.sub(r"^model\.", "model.language_model.", re.sub(r"^visual\.", "model.visual.", name)): value
        for name, value in toy(1).items()
    }
    # The second substitution renames the first one's result too; put the vision tower right.
    renamed = {name.replace("model.language_model.visual.", "model.visual."): v for name, v in renamed.items()}
    write_model(folder / "renamed", renamed)
    plan = build_plan(_config(models, experts={"renamed": folder / "renamed"}))
    assert {job.experts[0].name for job in plan.jobs} == renamed.keys()
    assert {job.base.name for job in plan.jobs} == toy(0).keys()


def test_tied_head_that_only_the_expert_stores_is_ignored(models, write_model, toy) -> None:
    folder = models["base"].parent
    write_model(folder / "verl", toy(1) | {"lm_head.weight": torch.ones(5, 8)}, tie_word_embeddings=True)
    plan = build_plan(_config(models, experts={"verl": folder / "verl"}))
    assert "lm_head.weight" not in {job.name for job in plan.jobs}
    assert "lm_head.weight is ignored" in plan.notes[0]


def test_head_of_its_own_is_not_ignored(models, write_model, toy) -> None:
    folder = models["base"].parent
    write_model(folder / "untied", toy(1) | {"lm_head.weight": torch.ones(5, 8)}, tie_word_embeddings=False)
    with pytest.raises(LipoError, match=r"'lm_head\.weight' .* is not in the base"):
        build_plan(_config(models, experts={"untied": folder / "untied"}))


def test_tied_head_that_only_the_base_stores_takes_the_embedding(models, write_model, toy) -> None:
    folder = models["base"].parent
    base = write_model(folder / "b2", toy(0) | {"lm_head.weight": torch.ones(5, 8)}, tie_word_embeddings=True)
    plan = build_plan(_config(models, base=base))
    head = next(job for job in plan.jobs if job.name == "lm_head.weight")
    assert {info.name for info in head.experts} == {"model.embed_tokens.weight"}


def test_integers_are_copied(models, write_model, toy) -> None:
    folder = models["base"].parent
    whole = {"steps": torch.tensor([1, 2]), "mask": torch.tensor([True, False])}
    base = write_model(folder / "b2", toy(0) | whole)
    expert = write_model(folder / "e2", toy(1) | whole)
    jobs = {job.name: job for job in build_plan(_config(models, base=base, experts={"e": expert})).jobs}
    assert (jobs["steps"].method, jobs["steps"].dtype) == ("base", "I64")
    assert (jobs["mask"].method, jobs["mask"].dtype) == ("base", "BOOL")


def test_fingerprint_follows_recipe_and_inputs(models, write_model, toy) -> None:
    config = _config(models)
    first = build_plan(config).fingerprint
    assert build_plan(dataclasses.replace(config, workers=3)).fingerprint == first
    assert build_plan(dataclasses.replace(config, experts=dict(reversed(config.experts.items())))).fingerprint == first
    assert build_plan(dataclasses.replace(config, seed=1)).fingerprint != first
    assert build_plan(dataclasses.replace(config, options={"scale": 0.9})).fingerprint != first
    # Defaults written out are the same recipe.
    assert build_plan(dataclasses.replace(config, options={"steps": 300})).fingerprint == first
    (models["math"] / "model.safetensors").touch()
    assert build_plan(config).fingerprint != first


def test_a_merge_is_checked_while_experts_are_still_to_be_made(models):
    config = _config(models)
    check(config)
    later = dataclasses.replace(config, experts={**config.experts, "late": Path("not/yet")})
    with pytest.raises(LipoError, match="no model directory at not/yet"):
        check(later)
    check(later, [Path("not/yet").absolute()])
    for change, message in (
        ({"base": Path("nowhere")}, "no model directory at nowhere"),
        ({"options": {"scael": 1}}, "did you mean 'scale'"),
        ({"method": "amn"}, "did you mean 'amm'"),
        ({"rules": [Rule(match="(", use="method")]}, "not a regular expression"),
    ):
        with pytest.raises(LipoError, match=message):
            check(dataclasses.replace(later, **change), [Path("not/yet").absolute()])
