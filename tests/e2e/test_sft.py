"""Cold start on real clips with verl's supervised trainer: the loss falls, an interrupted run continues."""

import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from lipo.sft import read_losses
from recipes.tiny.train_base import BASE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

RUN = (
    *("sft", "recipes/tiny/video_sft.yaml", "trainer.save_freq=3", "trainer.total_epochs=6"),
    *("data.train_batch_size=16", "data.micro_batch_size_per_gpu=16"),
)


def test_the_loss_falls_and_a_second_run_continues(command):
    data = command.directory / "runs/video/data"
    sizes = ["--train=1", "--validation=1", "--test=1", "--cold-start=16"]
    subprocess.run([sys.executable, "-m", "recipes.tiny.make_video_data", "--out", str(data), *sizes], check=True)
    # As if interrupted behind the third step: nothing is exported yet.
    first = command.start(*RUN, "trainer.total_training_steps=3", "lipo.export=null")
    assert command.finish(first, 200) == 0, command.output()[-3000:]
    run = command.directory / "runs/video/sft"
    assert (run / "latest_checkpointed_iteration.txt").read_text() == "3"
    second = command.start(*RUN, "trainer.total_training_steps=6")
    assert command.finish(second, 200) == 0, command.output()[-3000:]
    command.assert_nothing_left()

    losses = read_losses(run / "metrics")
    assert [entry.step for entry in losses] == [1, 2, 3, 4, 5, 6]
    assert losses[-1].loss < 0.7 * losses[0].loss
    model = command.directory / "runs/video/cold_start"
    assert json.loads((model / "config.json").read_text())["dtype"] == "float32"
    before, after = load_file(BASE / "model.safetensors"), load_file(model / "model.safetensors")
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[name], after[name]) for name in before)

    # Finished: the same command returns at once.
    third = command.start(*RUN, "trainer.total_training_steps=6")
    assert command.finish(third, 60) == 0
    assert len(list((run / "metrics").iterdir())) == 2
