"""The shipped checkpoint, its directory and the script that made it."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from recipes.tiny.tasks import TASKS, make_sample
from recipes.tiny.train_base import BASE, Collator, image_patches

COMMAND = [sys.executable, "-m", "recipes.tiny.train_base"]
PHASES = ("seeing", "reading", "practice", "reasoning", "polishing")


def options(**steps):
    """Two steps of every phase, or as many as said."""
    return ["--threads", "1", *(x for p in PHASES for x in (f"--{p}-steps", str(steps.get(p, 2))))]


@pytest.fixture(scope="module")
def base():
    from transformers import AutoModelForImageTextToText

    return AutoModelForImageTextToText.from_pretrained(BASE, dtype=torch.float32).eval()


def test_checkpoint_is_small_and_whole(base):
    files = {file.name for file in BASE.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"} <= files
    assert sum(file.stat().st_size for file in BASE.iterdir()) <= 16 * 2**20
    assert type(base).__name__ == "Qwen2_5_VLForConditionalGeneration"


def test_processor_and_training_see_the_same_pixels():
    from transformers import AutoProcessor

    image = make_sample("ocr", "validation", 0).image
    processor = AutoProcessor.from_pretrained(BASE)
    seen = processor.image_processor(images=[image], return_tensors="np")
    assert np.allclose(seen["pixel_values"], image_patches(image), atol=1e-5)
    assert isinstance(image, Image.Image)


@pytest.mark.parametrize("task", TASKS)
def test_base_knows_the_tasks(base, task):
    """Far better than chance on validation items: a wrong file or a changed generator would show."""
    samples = [make_sample(task, "validation", seed) for seed in range(32)]
    batch = Collator()([(sample, sample.reading) for sample in samples])
    labels = batch["labels"][:, 1:]
    inputs = {k: v for k, v in batch.items() if k not in ("labels", "cell_ids")}
    with torch.no_grad():
        guesses = base(**inputs).logits[:, :-1].argmax(-1)
    assert (guesses == labels)[labels != -100].float().mean() > 0.8


@pytest.mark.slow
def test_training_resumes_to_the_same_weights(tmp_path):
    from safetensors.torch import load_file

    subprocess.run([*COMMAND, "--out", str(tmp_path / "whole"), *options()], check=True)
    # Interrupted after the practice phase, then continued by the same command.
    subprocess.run([*COMMAND, "--out", str(tmp_path / "parts"), *options(reasoning=0, polishing=0)], check=True)
    subprocess.run([*COMMAND, "--out", str(tmp_path / "parts"), *options()], check=True)
    whole, parts_ = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts_[name]) for name in whole)
