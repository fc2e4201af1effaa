"""Another model's weights in a running vLLM: when that is allowed, and that the model is then the other one."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from eval._reload import differ_in_weights_only

BASE = Path(__file__).parents[2] / "recipes" / "tiny" / "base"


@pytest.fixture
def other(tmp_path):
    """The base with every matrix disturbed."""
    directory = shutil.copytree(BASE, tmp_path / "other")
    random = np.random.default_rng(0)
    tensors = load_file(BASE / "model.safetensors")
    disturbed = {
        name: (tensor + 0.1 * tensor.std() * random.standard_normal(tensor.shape)).astype(tensor.dtype)
        for name, tensor in tensors.items()
    }
    save_file(disturbed, directory / "model.safetensors", metadata={"format": "pt"})
    return directory


def _edit(file, **entries):
    file.write_text(json.dumps(json.loads(file.read_text("utf-8")) | entries), "utf-8")


def test_other_weights_are_no_obstacle(other):
    assert differ_in_weights_only(BASE, other) and differ_in_weights_only(other, BASE)


def test_where_a_model_comes_from_is_no_obstacle(other):
    _edit(other / "config.json", transformers_version="0", _name_or_path="elsewhere")
    (other / "manifest.json").write_text("{}", "utf-8")
    (other / "model.safetensors.index.json").write_text("{}", "utf-8")
    assert differ_in_weights_only(BASE, other)


@pytest.mark.parametrize("name", ["config.json", "generation_config.json", "tokenizer_config.json"])
def test_other_settings_are_an_obstacle(other, name):
    _edit(other / name, eos_token_id=5)
    assert not differ_in_weights_only(BASE, other)


def test_another_template_is_an_obstacle(other):
    with (other / "chat_template.jinja").open("a", encoding="utf-8") as file:
        file.write("!")
    assert not differ_in_weights_only(BASE, other)


def test_a_further_file_of_the_tokenizer_is_an_obstacle(other):
    (other / "added_tokens.json").write_text("{}", "utf-8")
    assert not differ_in_weights_only(BASE, other)


@pytest.mark.parametrize("change", ["shape", "name"])
def test_other_tensors_are_an_obstacle(other, change):
    tensors = load_file(other / "model.safetensors")
    name, tensor = next((name, tensor) for name, tensor in tensors.items() if tensor.ndim == 2)
    del tensors[name]
    tensors |= {name: tensor[:-1].copy()} if change == "shape" else {f"{name}.scale": tensor}
    save_file(tensors, other / "model.safetensors")
    assert not differ_in_weights_only(BASE, other)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_reloaded_model_is_the_other_one(other):
    """Every tensor in vLLM and every greedy answer, against those of fresh starts, pictures and prefixes cached."""
    script = Path(__file__).parent / "data" / "reload.py"
    environment = {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "TORCHDYNAMO_DISABLE": "1",
        "VLLM_LOGGING_LEVEL": "ERROR",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    }
    done = subprocess.run(
        [sys.executable, script, BASE, other], capture_output=True, text=True, env=os.environ | environment
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.strip().splitlines()[-1])
    assert found["restarted"] == {"reload": False, "back": False, "not asked for": True, "other sampling": True}
    assert found["tensors that differ"] == [] and found["tensors"] > 50
    base, reloaded, back, fresh = (found["answers"][name] for name in ("base", "reload", "back", "not asked for"))
    assert reloaded == fresh and back == base
    assert all(one != another for one, another in zip(base, reloaded, strict=True))
