import json
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import save_file

from lipo.common import LipoError
from lipo.training import run, train


@pytest.fixture
def finished(tmp_path):
    """A run that verl has finished and that was not exported yet."""
    directory = tmp_path / "run"
    weights = directory / "global_step_3/actor/huggingface"
    weights.mkdir(parents=True)
    save_file({"w": torch.ones(2)}, weights / "model.safetensors")
    config = {"dtype": "bfloat16", "text_config": {"dtype": "bfloat16", "hidden_size": 2}, "architectures": ["X"]}
    (weights / "config.json").write_text(json.dumps(config))
    (directory / "latest_checkpointed_iteration.txt").write_text("3")
    (directory / "metrics").mkdir()
    record = {"step": 3, "data": {"critic/score/mean": 0.5, "response_length/mean": 9.0}}
    (directory / "metrics/attempt-0001.jsonl").write_text(json.dumps(record) + "\n")
    settings = OmegaConf.create(
        {
            "trainer": {"default_local_dir": str(directory), "total_training_steps": 3},
            "algorithm": {"adv_estimator": "lipo"},
            "lipo": {"export": str(tmp_path / "expert")},
        }
    )
    OmegaConf.save(settings, directory / "config.yaml")
    return settings


def test_finished_run_is_exported_without_starting_verl(finished):
    steps = []
    expert = train(finished, on_step=lambda entry: steps.append(entry.step))
    assert steps == [3]
    config = json.loads((expert / "config.json").read_text())
    assert config["dtype"] == config["text_config"]["dtype"] == "float32"
    assert config["text_config"]["hidden_size"] == 2
    assert OmegaConf.load(expert / "training_config.yaml") == finished
    # A second call finds the expert.
    assert train(finished) == expert


def test_what_other_settings_have_made_is_not_taken_for_the_result(finished, tmp_path):
    train(finished)
    finished.algorithm.adv_estimator = "grpo"
    with pytest.raises(LipoError, match=r"expert was made with other settings \(algorithm\.adv_estimator\); choose"):
        train(finished)
    # Nor is it under another name, from the old checkpoint.
    finished.lipo.export = str(tmp_path / "second")
    with pytest.raises(LipoError, match=r"run was made with other settings .*trainer\.default_local_dir"):
        train(finished)
    assert not (tmp_path / "second").exists()


def test_checkpoint_without_huggingface_weights_is_an_error(finished):
    (weights,) = Path(finished.trainer.default_local_dir).rglob("*.safetensors")
    weights.unlink()
    with pytest.raises(LipoError, match="no Hugging Face weights"):
        train(finished)


def test_a_model_of_an_earlier_step_is_not_taken_for_the_finished_one(finished, tmp_path, monkeypatch):
    finished.trainer.total_training_steps = 4
    started = []
    monkeypatch.setattr(run, "_run_verl", lambda *arguments: started.append(arguments))
    with pytest.raises(LipoError, match="verl ended, with step 3 of 4"):
        train(finished)
    assert started and not (tmp_path / "expert").exists()
