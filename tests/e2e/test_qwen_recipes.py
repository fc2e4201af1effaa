"""The Qwen2.5-VL-3B recipes on a CPU: DAPO with adapters, so that one start of verl tries the most."""

import subprocess
import sys

import pytest
import torch

from lipo.training import read_history

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

OUT = "runs/qwen2_5_vl_3b_cpu"


def test_dapo_with_adapters_exports_a_plain_model(command):
    from safetensors.torch import load_file
    from transformers import AutoModelForImageTextToText

    from recipes.tiny.train_base import BASE

    data = command.directory / OUT / "data"
    sizes = ["--train=64", "--validation=8", "--test=8"]
    subprocess.run([sys.executable, "-m", "recipes.tiny.make_data", "--out", str(data), *sizes], check=True)
    process = command.start(
        "train",
        "recipes/qwen2_5_vl_3b/math.yaml",
        "profile=cpu",
        "rule=dapo",
        "trainer.total_training_steps=2",
        "data.train_batch_size=4",
        "actor_rollout_ref.rollout.n=8",
        "actor_rollout_ref.actor.ppo_mini_batch_size=4",
        "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=32",
        "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=32",
        "actor_rollout_ref.actor.optim.lr=1e-2",
        # As profile=lora_24gb has them.
        "actor_rollout_ref.model.lora_rank=8",
        "actor_rollout_ref.model.lora_alpha=8",
        "actor_rollout_ref.model.exclude_modules='.*visual.*'",
        "actor_rollout_ref.model.lora.merge=true",
        "actor_rollout_ref.actor.fsdp_config.offload_policy=true",
    )
    assert command.finish(process, 1000) == 0, command.output()[-3000:]
    history = read_history(command.directory / OUT / "dapo/training/math/metrics")
    assert [entry.step for entry in history] == [1, 2]
    for entry in history:
        # The adapters were folded in before they were sent to vLLM: both agree on probabilities.
        assert entry.values["training/rollout_actor_probs_pearson_corr"] > 0.98
    expert = command.directory / OUT / "dapo/experts/math"
    model = AutoModelForImageTextToText.from_pretrained(expert)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    trained, base = load_file(expert / "model.safetensors"), load_file(BASE / "model.safetensors")
    assert trained.keys() == base.keys()
    changed = {name for name in base if not torch.equal(trained[name], base[name])}
    assert changed and all("layers" in name and name.endswith("proj.weight") for name in changed)
    command.assert_nothing_left()
