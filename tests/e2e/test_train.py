"""verl's own V1 trainer with vLLM rollouts on images, started as a user starts it."""

import pytest
import torch

from lipo.estimators.lipo import lipo
from lipo.training import read_history

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

STEPS, PROMPTS, RESPONSES = 2, 8, 8


@pytest.fixture
def trained(command):
    import subprocess
    import sys

    data = command.directory / "runs/demo/data"
    sizes = ["--train=64", "--validation=8", "--test=8"]
    subprocess.run([sys.executable, "-m", "recipes.tiny.make_data", "--out", str(data), *sizes], check=True)
    process = command.start(
        "train",
        "recipes/tiny/math.yaml",
        f"trainer.total_training_steps={STEPS}",
        "trainer.save_freq=1",
        f"data.train_batch_size={PROMPTS}",
        f"actor_rollout_ref.rollout.n={RESPONSES}",
        f"actor_rollout_ref.actor.ppo_mini_batch_size={PROMPTS}",
        "actor_rollout_ref.actor.optim.lr=1e-3",
        "trainer.rollout_data_dir=rollouts",
    )
    assert command.finish(process, 1200) == 0, command.output()[-3000:]
    return command


def test_two_steps_use_lipo_and_export_an_expert(trained, used_in):
    from safetensors.torch import load_file
    from transformers import AutoModelForImageTextToText

    from recipes.tiny.train_base import BASE

    directory = trained.directory
    history = read_history(directory / "runs/demo/training/math/metrics")
    assert [entry.step for entry in history] == list(range(1, STEPS + 1))
    for entry in history:
        # Catches silent faults of weight synchronisation: rollout and actor must agree on probabilities.
        assert entry.values["training/rollout_actor_probs_pearson_corr"] > 0.98
        dumps = list(directory.rglob(f"rollouts/{entry.step}.jsonl"))
        assert len(dumps) == 1
        assert entry.values["critic/advantages/max"] > 0.1
        assert used_in(lipo, entry.values, dumps[0], PROMPTS * RESPONSES, max_length=288)

    expert = directory / "runs/demo/experts/math"
    model = AutoModelForImageTextToText.from_pretrained(expert)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    trained_weights, base_weights = load_file(expert / "model.safetensors"), load_file(BASE / "model.safetensors")
    assert trained_weights.keys() == base_weights.keys()
    assert any(not torch.equal(trained_weights[name], base_weights[name]) for name in base_weights)
    trained.assert_nothing_left()
