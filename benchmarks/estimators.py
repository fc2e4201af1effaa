"""Measure LIPO against verl's own GRPO estimators, alternating in one process: median time and peak memory.

Run by hand on an otherwise idle machine::

    python benchmarks/estimators.py                      # CPU
    python benchmarks/estimators.py --device cuda

Each line is one batch shape, prompts × responses per prompt × tokens. On a CPU the processor time of all threads is
shown besides, and compared: other programs disturb it less than the clock. "Extra memory" is the peak beyond the
inputs and the result, as a share of the inputs.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf

from lipo.verl_plugin.adapter import as_verl_estimator

SHAPES = ("256x8x4096", "1024x16x4096", "16x1024x4096", "4096x16x4096")


def make_batch(prompts: int, responses: int, tokens: int, device: str) -> dict[str, Any]:
    """Random lengths and 0/1 rewards on the last token, as verl lays them out."""
    rows = prompts * responses
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(1, tokens + 1, (rows,), generator=generator)
    rewards = torch.zeros(rows, tokens)
    scores = torch.randint(0, 2, (rows,), generator=generator).float()
    rewards[torch.arange(rows), lengths - 1] = scores
    mask = torch.empty(rows, tokens, dtype=torch.int64)
    for row, length in enumerate(lengths.tolist()):
        mask[row, :length] = 1
        mask[row, length:] = 0
    uids = np.repeat(
        np.array([f"prompt-{i:08x}-of-the-batch-as-a-uuid" for i in range(prompts)], dtype=object), responses
    )
    return {"token_level_rewards": rewards.to(device), "response_mask": mask.to(device), "index": uids}


def peak_bytes(call: Callable[[], Any], device: str) -> int:
    """Most memory held during a call beyond what was held before it."""
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    # Linux: writing 5 sets the high-water mark of resident memory back to the present.
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    call()
    return _status("VmHWM") - before


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise KeyError(field)


def measure(shape: str, device: str, repeats: int) -> list[dict[str, Any]]:
    """Time every estimator in turn, ``repeats`` times round."""
    from verl.trainer.ppo import core_algos

    prompts, responses, tokens = map(int, shape.split("x"))
    batch = make_batch(prompts, responses, tokens, device)
    config = OmegaConf.create({"lipo": {"max_length": tokens}})
    lipo = as_verl_estimator("lipo")
    calls: dict[str, Callable[[], Any]] = {
        "grpo": lambda: core_algos.compute_grpo_outcome_advantage(**batch),
        "grpo_vectorized": lambda: core_algos.compute_grpo_vectorized_outcome_advantage(**batch),
        "lipo": lambda: lipo(**batch, config=config),
    }
    inputs = sum(tensor.nbytes for tensor in batch.values() if isinstance(tensor, torch.Tensor))
    result = batch["token_level_rewards"].numel() * 4
    for call in calls.values():
        call()
    extra = {name: peak_bytes(call, device) - result for name, call in calls.items()}
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    processor: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            start, begun = time.perf_counter(), time.process_time()
            call()
            if device == "cuda":
                torch.cuda.synchronize()
            seconds[name].append(time.perf_counter() - start)
            processor[name].append(time.process_time() - begun)
    return [
        {
            "shape": shape,
            "estimator": name,
            "median": statistics.median(seconds[name]),
            "processor": statistics.median(processor[name]),
            "fastest": min(seconds[name]),
            "extra": max(extra[name], 0) / inputs,
        }
        for name in calls
    ]


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--shapes", nargs="+", default=SHAPES, help="prompts x responses x tokens")
    arguments = parser.parse_args()
    print("| batch | estimator | median ms | fastest ms | processor ms | against vectorized | extra memory |")
    print("|---|---|---|---|---|---|---|")
    for shape in arguments.shapes:
        lines = measure(shape, arguments.device, arguments.repeats)
        figure = "processor" if arguments.device == "cpu" else "median"
        reference = next(line[figure] for line in lines if line["estimator"] == "grpo_vectorized")
        for line in lines:
            print(
                f"| {shape} | {line['estimator']} | {line['median'] * 1e3:.1f} | {line['fastest'] * 1e3:.1f} "
                f"| {line['processor'] * 1e3:.0f} | {line[figure] / reference:.2f} | {line['extra']:.1%} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
