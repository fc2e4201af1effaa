"""Against tensors counted in a real model, and against what is published of other people's trainings."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lipo.planning import KNOWN, ModelShape, advise, estimate_memory, estimate_time, find_gpu, read_settings
from lipo.planning.advice import fits
from lipo.planning.memory import activation_bytes
from lipo.training import compose

RECIPES = Path(__file__).parents[3] / "recipes/qwen2_5_vl_3b"


@pytest.fixture(scope="module")
def settings():
    return {p: read_settings(compose(RECIPES / "math.yaml", [f"profile={p}"])) for p in ("8x80gb", "1x80gb")}


@pytest.mark.parametrize("profile", ["1x80gb", "8x80gb", "2x8", "lora_24gb"])
def test_every_profile_fits_its_gpu(profile):
    config = compose(RECIPES / "math.yaml", [f"profile={profile}"])
    shape = KNOWN[config.actor_rollout_ref.model.path]
    assert fits(shape, read_settings(config), find_gpu(config.lipo.gpu).memory)


def test_state_is_sixteen_bytes_per_parameter(settings):
    shape = KNOWN["Qwen/Qwen2.5-VL-3B-Instruct"]
    for profile, gpus in (("1x80gb", 1), ("8x80gb", 8)):
        update = estimate_memory(shape, settings[profile], 80e9).phases[-1].parts
        state = update["training weights"] + update["gradients"] + update["Adam's moments"]
        assert state == pytest.approx(16 * shape.parameters / gpus)


def layer_of(shape):
    from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import Qwen2_5_VLTextConfig
    from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLDecoderLayer

    config = Qwen2_5_VLTextConfig(
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=1,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        vocab_size=64,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
        **dict.fromkeys(("bos_token_id", "eos_token_id"), 0),
    )
    config._attn_implementation = "sdpa"
    return Qwen2_5_VLDecoderLayer(config, 0).to(torch.bfloat16)


def test_what_autograd_keeps_of_a_layer():
    """Counted in a real layer of the 3B model's proportions, a quarter as wide."""
    shape, tokens = ModelShape(1, 512, 2752, 4, 1, 64, True), 256
    layer = layer_of(shape)
    own = {p.untyped_storage().data_ptr() for p in layer.parameters()}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    hidden = torch.randn(1, tokens, shape.hidden, dtype=torch.bfloat16, requires_grad=True)
    angles = torch.randn(3, 1, tokens, shape.head, dtype=torch.bfloat16)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        layer(hidden, position_embeddings=(angles.cos(), angles.sin()), attention_mask=None)
    # sdpa repeats the keys and values for every head, which flash-attention does not.
    repeated = 2 * 2 * tokens * (shape.hidden - shape.kv_width)
    measured = sum(kept.values()) - repeated
    assert activation_bytes(shape, tokens, checkpointing=False) == pytest.approx(measured, rel=0.15)


# (model, GPUs, card, bytes per weight, offloaded, fits): EasyR1's table of hardware for GRPO, full training
# (github.com/hiyouga/EasyR1, README: 3B 4×40 GB or, in bfloat16, 1×40 GB; 7B 8×40 GB or 4×40 GB), and verl's smallest
# tried set-ups (docs/perf/device_tuning: Qwen2-7B on 2×H800 of 80 GB, 14B on 4×H800, with offloading). The cards that
# must not suffice follow from 16 bytes of state per parameter alone.
PUBLISHED = [
    ("Qwen/Qwen2.5-VL-3B-Instruct", 4, "a100-40gb", 4, True, True),
    ("Qwen/Qwen2.5-VL-3B-Instruct", 1, "a100-40gb", 2, True, True),
    ("Qwen/Qwen2.5-VL-3B-Instruct", 1, "a100-40gb", 4, True, False),
    ("Qwen/Qwen2.5-VL-7B-Instruct", 8, "a100-40gb", 4, True, True),
    ("Qwen/Qwen2.5-VL-7B-Instruct", 4, "a100-40gb", 2, True, True),
    ("Qwen/Qwen2.5-VL-7B-Instruct", 1, "a100-80gb", 4, True, False),
    ("Qwen/Qwen2-7B-Instruct", 2, "h100-80gb", 4, True, True),
    ("Qwen/Qwen2.5-14B-Instruct", 4, "h100-80gb", 4, True, True),
    ("Qwen/Qwen2.5-14B-Instruct", 1, "h100-80gb", 4, True, False),
]


@pytest.mark.parametrize(("model", "gpus", "card", "width", "offloaded", "fitting"), PUBLISHED)
def test_what_others_have_run(settings, model, gpus, card, width, offloaded, fitting):
    run = replace(
        settings["1x80gb"],
        gpus_per_node=gpus,
        master_bytes=width,
        param_offload=offloaded,
        optimizer_offload=offloaded,
        tokens_per_gpu=4096,
        utilization=0.6 if gpus > 1 or width == 2 else 0.4,
    )
    assert fits(KNOWN[model], run, find_gpu(card).memory) == fitting


def test_more_gpus_never_need_more_each(settings):
    shape = KNOWN["Qwen/Qwen2.5-VL-3B-Instruct"]
    peaks = [
        estimate_memory(shape, replace(settings["8x80gb"], gpus_per_node=n, utilization=0.3), 80e9).phases[-1].total
        for n in (1, 2, 4, 8)
    ]
    assert peaks == sorted(peaks, reverse=True)


def test_logits_without_fused_kernels_are_what_fills_a_gpu(settings):
    shape = KNOWN["Qwen/Qwen2.5-VL-3B-Instruct"]
    plain = replace(settings["8x80gb"], fused_kernels=False)
    parts = estimate_memory(shape, plain, 80e9).phases[-1].parts
    assert parts["logits"] > 24576 * 151936 * 14
    (advice, *_) = advise(shape, plain, find_gpu("a100-80gb").memory)
    assert any("fused" in o or "max_token_len" in o for o in advice.overrides)


def test_advice_is_applied_by_the_same_estimate(settings):
    shape, card = KNOWN["Qwen/Qwen2.5-VL-3B-Instruct"], find_gpu("a100-80gb").memory
    crowded = replace(settings["1x80gb"], param_offload=False, optimizer_offload=False)
    assert not fits(shape, crowded, card)
    for advice in advise(shape, crowded, card):
        assert advice.peak <= card
    overrides = advise(shape, crowded, card)[0].overrides
    offload = [f"actor_rollout_ref.actor.fsdp_config.{what}_offload=false" for what in ("param", "optimizer")]
    config = compose(RECIPES / "math.yaml", ["profile=1x80gb", *offload, *overrides])
    assert fits(shape, read_settings(config), card)


def test_nothing_helps_a_72b_model_on_one_small_card(settings):
    huge = ModelShape(80, 8192, 29568, 64, 8, 152064, False)
    assert advise(huge, settings["1x80gb"], find_gpu("rtx4090-24gb").memory) == []


def test_time(settings):
    shape, card = KNOWN["Qwen/Qwen2.5-VL-3B-Instruct"], find_gpu("a100-80gb")

    def seconds(run, prompt=600, response=350, **options):
        memory = estimate_memory(shape, run, card.memory)
        return estimate_time(shape, run, card, memory, prompt, response, **options)

    eight = seconds(settings["8x80gb"])
    sixteen = seconds(replace(settings["8x80gb"], nodes=2))
    assert eight.update / sixteen.update == pytest.approx(2)
    # By hand: 512·8 responses of 950 tokens, 8 operations a weight, over 8 cards at 35 % of 312 TF.
    text = 512 * 8 * 950 * shape.computing
    image = 512 * 8 * 600 * 4 * shape.vision.parameters
    assert eight.update == pytest.approx(8 * (text + image) / (8 * 312e12 * 0.35))
    assert seconds(settings["8x80gb"], response=700).generation > 1.9 * eight.generation
    # Twice the responses fill the same engines twice; what is trained on stays.
    for options, factor in (({}, 2.5), ({"oversampling": 2}, 2)):
        drawn = seconds(replace(settings["8x80gb"], dynamic_sampling=True), **options)
        assert drawn.generation == pytest.approx(factor * eight.generation)
        assert (drawn.log_probs, drawn.update) == (eight.log_probs, eight.update)
    assert seconds(settings["8x80gb"], oversampling=2) == eight
    no_room = replace(settings["8x80gb"], utilization=0.05)
    assert seconds(no_room).generation == float("inf")
