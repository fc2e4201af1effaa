"""verl's trainer with vLLM rollouts on real mp4 clips, by the published rule for video."""

import json
import math
import subprocess
import sys

import pytest

from lipo.training import read_history

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PROMPTS, RESPONSES = 8, 8


@pytest.fixture
def trained(command):
    data = command.directory / "runs/video/data"
    sizes = ["--train=8", "--validation=2", "--test=2", "--cold-start=2"]
    subprocess.run([sys.executable, "-m", "recipes.tiny.make_video_data", "--out", str(data), *sizes], check=True)
    process = command.start(
        "train",
        "recipes/tiny/video.yaml",
        "trainer.total_training_steps=1",
        "algorithm.adv_estimator=grpo_noise",
        "reward.custom_reward_function.reward_kwargs.combination=signed",
        f"data.train_batch_size={PROMPTS}",
        f"actor_rollout_ref.rollout.n={RESPONSES}",
        f"actor_rollout_ref.actor.ppo_mini_batch_size={PROMPTS}",
        "data.max_response_length=64",
        "trainer.save_freq=1",
        "trainer.rollout_data_dir=rollouts",
    )
    assert command.finish(process, 800) == 0, command.output()[-3000:]
    return command


def test_a_step_sees_the_clips_and_adds_the_noise(trained):
    (entry,) = read_history(trained.directory / "runs/video/training/metrics")
    # Rollout (vLLM) and actor (transformers) agree on probabilities only if both see the same frames at one time.
    assert entry.values["training/rollout_actor_probs_pearson_corr"] > 0.995
    # 0.0004 where the times are alike, 0.14 where one side loses them.
    assert entry.values["rollout_corr/k3_kl"] < 0.005
    (dump,) = trained.directory.rglob("rollouts/1.jsonl")
    rows = [json.loads(line) for line in dump.read_text().splitlines()]
    assert len(rows) == PROMPTS * RESPONSES
    # The base has not learnt this format: every reward is -2, and the noise alone is left of the advantage.
    assert {row["score"] for row in rows} == {-2.0}
    assert entry.values["lipo/noise"] == pytest.approx(0.02, rel=4 / math.sqrt(2 * len(rows)))
    assert 0.02 < entry.values["critic/advantages/max"] < 0.1
    assert -0.1 < entry.values["critic/advantages/min"] < -0.02
    # What the reward function says beside the score.
    assert entry.values["reward/acc"] == entry.values["reward/format"] == 0.0
    assert entry.values["reward/reflections"] >= 0.0
    assert (trained.directory / "runs/video/expert" / "model.safetensors").is_file()
    trained.assert_nothing_left()
