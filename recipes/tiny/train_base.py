"""Train the tiny base model from random initialisation: to see, to read, to calculate, then to reason at length.

    python -m recipes.tiny.train_base --out runs/base

Seeing phase: the vision tower alone; each visual token learns to decode, through the language model's final norm and
head, to the character that its 28 × 28 pixels show. Without it the model needs thousands of steps to start reading.
Reading phase: the target is the transcription alone, so steps are short.
Practice phase: the first line of thought, up to where short and long answers part.
Reasoning phase: whole responses, a mixture of short and long chains of thought (``RECHECK_SHARES``), with a share of
slips (``SLIP_RATE``); then the same once more, polishing.

Deterministic for a seed, a thread count and a torch version; resumes from its last checkpoint. About 45 minutes on two
cores.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import Qwen2_5_VLForConditionalGeneration

from recipes.tiny.model import IMAGE_MEAN, IMAGE_STD, MERGE, PATCH, build_model, save_model
from recipes.tiny.tasks import TASKS, Sample, make_sample
from recipes.tiny.tokenizer import build_tokenizer

BASE = Path(__file__).parent / "base"
"""The shipped checkpoint: seed 0, the defaults below."""

RECHECK_SHARES = (0.15, 0.3, 0.3, 0.25)
"""Share of training answers with 0, 1, 2, 3 re-checks: about 26, 86, 133 and 177 tokens, slips and end included."""
SLIP_RATE = 0.3
"""Share of training answers with one symbol misread at first."""

READING_SHARES = {"math": 0.3, "structured": 0.2, "ocr": 0.5}
"""Share of each task in the reading phase: letters take longer to learn than bars."""

PRACTICE_SHARES = {"math": 0.55, "structured": 0.35, "ocr": 0.1}
"""Share of each task in the practice phase: sums are harder than copying."""

Batch = dict[str, torch.Tensor]


def image_patches(image: Image.Image) -> np.ndarray:
    """Flatten an image as ``Qwen2VLImageProcessor`` does: (patches, channels · 2 · 14 · 14), without its overhead."""
    pixels = (np.asarray(image, dtype=np.float32) / 255 - np.array(IMAGE_MEAN, dtype=np.float32)) / np.array(
        IMAGE_STD, dtype=np.float32
    )
    frames = pixels.transpose(2, 0, 1)[None].repeat(2, 0)
    rows, columns = pixels.shape[0] // PATCH, pixels.shape[1] // PATCH
    blocks = frames.reshape(1, 2, 3, rows // MERGE, MERGE, PATCH, columns // MERGE, MERGE, PATCH)
    return blocks.transpose(0, 3, 6, 4, 7, 2, 1, 5, 8).reshape(rows * columns, -1)


class Collator:
    """Turns (sample, target text) pairs into one padded batch whose labels cover the target only."""

    def __init__(self) -> None:
        """Build the tokenizer once."""
        self._tokenizer = build_tokenizer()
        self._vocabulary = self._tokenizer.get_vocab()
        self._image_id = self._vocabulary["<|image_pad|>"]

    def __call__(self, pairs: list[tuple[Sample, str]]) -> Batch:
        """Tokenize and pad on the right."""
        rows, patches, grids = [], [], []
        for sample, target in pairs:
            width, height = sample.image.size
            visual = "<|image_pad|>" * (width * height // (PATCH * MERGE) ** 2)
            user = f"<|im_start|>user\n<|vision_start|>{visual}<|vision_end|>{sample.question}<|im_end|>\n"
            prompt = user + "<|im_start|>assistant\n"
            rows.append([self._tokenizer(text)["input_ids"] for text in (prompt, target)])
            patches.append(image_patches(sample.image))
            grids.append([1, height // PATCH, width // PATCH])
        longest = max(len(p) + len(t) for p, t in rows)
        ids = torch.full((len(rows), longest), self._tokenizer.pad_token_id)
        labels, mask = torch.full_like(ids, -100), torch.zeros_like(ids)
        for i, (prompt_ids, target_ids) in enumerate(rows):
            start, end = len(prompt_ids), len(prompt_ids) + len(target_ids)
            ids[i, :end] = torch.tensor(prompt_ids + target_ids)
            labels[i, start:end] = torch.tensor(target_ids)
            mask[i, :end] = 1
        return dict(
            input_ids=ids,
            labels=labels,
            attention_mask=mask,
            mm_token_type_ids=torch.eq(ids, self._image_id).long(),
            pixel_values=torch.from_numpy(np.concatenate(patches)),
            image_grid_thw=torch.tensor(grids),
            cell_ids=torch.tensor([[self._vocabulary[c] for c in sample.cells] for sample, _ in pairs]),
        )


def _reading_pairs(rng: random.Random, size: int) -> list[tuple[Sample, str]]:
    tasks = rng.choices(tuple(READING_SHARES), tuple(READING_SHARES.values()), k=size)
    samples = [make_sample(task, "train", rng.getrandbits(62)) for task in tasks]
    return [(s, s.reading) for s in samples]


def _practice_pairs(rng: random.Random, size: int) -> list[tuple[Sample, str]]:
    tasks = rng.choices(tuple(PRACTICE_SHARES), tuple(PRACTICE_SHARES.values()), k=size)
    samples = [make_sample(task, "train", rng.getrandbits(62)) for task in tasks]
    return [(s, s.work(0, None).split("</think>")[0]) for s in samples]


def _reasoning_pairs(rng: random.Random, size: int) -> list[tuple[Sample, str]]:
    # One number of re-checks per batch: answers of nearly equal length waste no padding.
    (rechecks,) = rng.choices(range(len(RECHECK_SHARES)), RECHECK_SHARES)
    pairs = []
    for _ in range(size):
        sample = make_sample(rng.choice(tuple(TASKS)), "train", rng.getrandbits(62))
        slip = rng if rng.random() < SLIP_RATE else None
        pairs.append((sample, sample.work(rechecks, slip) + "<|im_end|>"))
    return pairs


def _transcribe_loss(model: Qwen2_5_VLForConditionalGeneration, batch: Batch) -> torch.Tensor:
    return model(**{k: v for k, v in batch.items() if k != "cell_ids"}).loss


def _response_loss(model: Qwen2_5_VLForConditionalGeneration, batch: Batch) -> torch.Tensor:
    # A mean over tokens would weigh the choice between a short and a long answer by one over its length.
    tokens = (batch["labels"] != -100).sum()
    return _transcribe_loss(model, batch) * tokens / (100 * len(batch["labels"]))


def _see_loss(model: Qwen2_5_VLForConditionalGeneration, batch: Batch) -> torch.Tensor:
    seen = model.model.visual(batch["pixel_values"], grid_thw=batch["image_grid_thw"]).pooler_output
    logits = model.lm_head(model.model.language_model.norm(seen))
    return torch.nn.functional.cross_entropy(logits, batch["cell_ids"].flatten())


@dataclass(frozen=True)
class Phase:
    """One phase of training.

    Attributes:
        name: For the progress lines and the checkpoint's name.
        make_pairs: Draws a batch of (sample, target) pairs.
        loss: From model and batch.
        steps: Number of steps.
        size: Pairs per step.
        rate: Peak learning rate, reached after 100 steps.
        decay: Whether the rate then falls to zero along a cosine; otherwise the phase may be cut short at any step.
    """

    name: str
    make_pairs: Callable[[random.Random, int], list[tuple[Sample, str]]]
    loss: Callable[[Qwen2_5_VLForConditionalGeneration, Batch], torch.Tensor]
    steps: int
    size: int
    rate: float
    decay: bool

    def rate_at(self, step: int) -> float:
        """Learning rate of a step, from 0."""
        fraction = 0.5 * (1 + math.cos(math.pi * step / self.steps)) if self.decay else 1.0
        return self.rate * min(1.0, (step + 1) / 100) * fraction


def _run_phase(phase: Phase, model: Qwen2_5_VLForConditionalGeneration, seed: int, checkpoint: Path) -> None:
    """Train, resuming from ``checkpoint`` when it is there."""
    collate = Collator()
    optimizer = torch.optim.AdamW(model.parameters(), lr=phase.rate, weight_decay=0.01, betas=(0.9, 0.98))
    first = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"]
    average, start = None, time.monotonic()
    for step in range(first, phase.steps):
        for group in optimizer.param_groups:
            group["lr"] = phase.rate_at(step)
        rng = random.Random(f"{seed}/{phase.name}/{step}")
        loss = phase.loss(model, collate(phase.make_pairs(rng, phase.size)))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        average = loss.item() if average is None else 0.98 * average + 0.02 * loss.item()
        done = step + 1
        if done % 50 == 0 or done == phase.steps:
            pace = (time.monotonic() - start) / (done - first)
            left = pace * (phase.steps - done) / 60
            print(
                f"{phase.name} {done}/{phase.steps}  loss {average:.4f}  {pace:.2f} s/step  {left:.1f} min left",
                flush=True,
            )
        if done % 250 == 0 or done == phase.steps:
            temporary = checkpoint.with_suffix(".tmp")
            torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": done}, temporary)
            os.replace(temporary, checkpoint)


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="directory of the finished model")
    parser.add_argument("--seed", type=int, default=0, help="of the initial weights and of the data order")
    parser.add_argument("--seeing-steps", type=int, default=600, help="steps of 64 images")
    parser.add_argument("--reading-steps", type=int, default=500, help="steps of 64 transcriptions")
    parser.add_argument("--practice-steps", type=int, default=750, help="steps of 64 first lines of thought")
    parser.add_argument("--reasoning-steps", type=int, default=450, help="steps of 32 whole answers")
    parser.add_argument("--polishing-steps", type=int, default=500, help="steps of 32 whole answers, rate anew")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    work = options.out.with_name(options.out.name + ".work")
    work.mkdir(parents=True, exist_ok=True)
    model = build_model(options.seed)
    model.train()
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters", flush=True)
    seeing = Phase("seeing", _reading_pairs, _see_loss, options.seeing_steps, 64, 1.5e-3, decay=False)
    reading = Phase("reading", _reading_pairs, _transcribe_loss, options.reading_steps, 64, 1.5e-3, decay=False)
    practice = Phase("practice", _practice_pairs, _transcribe_loss, options.practice_steps, 64, 1.5e-3, decay=False)
    reasoning = Phase("reasoning", _reasoning_pairs, _response_loss, options.reasoning_steps, 32, 1e-3, decay=True)
    # The rate starts anew: after one cosine the long answers still lose the thread.
    polishing = Phase("polishing", _reasoning_pairs, _response_loss, options.polishing_steps, 32, 1.2e-3, decay=True)
    for phase in (seeing, reading, practice, reasoning, polishing):
        _run_phase(phase, model, options.seed, work / f"{phase.name}.pt")
    save_model(model, options.out)


if __name__ == "__main__":
    main()
