"""A study from its recipe to table and picture, with the smallest training that verl makes."""

import json
import sys

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SMALL = """
title: Small
out: runs/small
results: results/small
tasks: [math]
seeds: [7]
methods: {grpo: [algorithm.adv_estimator=grpo]}
reference: grpo
overrides:
  - trainer.total_training_steps=1
  - trainer.save_freq=1
  - data.train_batch_size=4
  - actor_rollout_ref.rollout.n=4
  - actor_rollout_ref.actor.ppo_mini_batch_size=4
  - actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=16
  - actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=16
test_items: 12
"""


def test_a_study_is_trained_evaluated_and_drawn(command):
    (command.directory / "small.yaml").write_text(SMALL)
    arguments = (sys.executable, "-m", "recipes.tiny.study", "small.yaml")
    assert command.finish(command.start_program(*arguments), 800) == 0, command.output()[-3000:]
    command.assert_nothing_left()
    results = json.loads((command.directory / "results/small.json").read_text())
    assert [len(steps) for steps in results["curves"].values()] == [1]
    figures = results["tasks"]["math"]
    assert set(figures) == {"base", "grpo"}
    assert all(0 <= cell["accuracy"]["value"] <= 1 and cell["tokens"]["value"] > 1 for cell in figures.values())
    for file in ("results/small.md", "results/small.svg"):
        text = (command.directory / file).read_text()
        assert "grpo" in text
        (command.directory / file).unlink()

    # From the figures alone: the same table and picture, no training.
    assert command.finish(command.start_program(*arguments, "--render"), 60) == 0
    assert (command.directory / "results/small.svg").read_text() == text
