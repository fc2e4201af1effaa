"""Measure merging: streaming against ``cp`` and mergekit, AMM against autograd, memory, workers, GPUs.

Run by hand on an otherwise idle machine, one part or all::

    python benchmarks/merge.py streaming --narrower 4     # checkpoints of 1/4 of the width of Qwen2.5-VL-3B
    python benchmarks/merge.py amm memory scaling gpu

Checkpoints have the tensor names and shapes of Qwen2.5-VL-3B and random values; see ``merge_models.py``. Programs are
started as users start them, in turn, so that a slow moment of the machine meets all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch
from safetensors.torch import save_file

# Python looks first in the script's own folder, where this file has the name of the package.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.merge_models import linear_layers, write  # noqa: E402
from merge.methods import AmmOptions, amm  # noqa: E402
from merge.methods._forms import choose_form, flops_per_step  # noqa: E402
from merge.methods.amm import amm_weights  # noqa: E402

LIPO = (sys.executable, "-c", "from lipo.cli import main; main()", "merge")
EXPERTS = 3
# Our method, its options, and mergekit's name for it.
STREAMING: dict[str, tuple[dict[str, float], str]] = {
    "average": ({}, "linear"),
    "task_arithmetic": ({"scale": 0.4}, "task_arithmetic"),
    "ties": ({"density": 0.2}, "ties"),
}


@dataclass(frozen=True)
class Run:
    """What a program took: seconds on the clock, seconds of all processes on cores, most memory of all of them."""

    wall: float
    cpu: float
    memory: int


def timed(command: Sequence[str]) -> Run:
    """Run a program to its end, its children included; dirty pages are written out before and within the time."""
    subprocess.run(["sync"], check=True)
    usage = os.times()
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        gauge = _Gauge(process.pid)
        _, errors = process.communicate()
    if process.returncode:
        raise SystemExit(f"{command[0]} failed: {errors.decode()[-2000:]}")
    wall = time.perf_counter() - started
    after = os.times()
    cpu = after.children_user + after.children_system - usage.children_user - usage.children_system
    return Run(wall, cpu, gauge.stop())


class _Gauge:
    """Samples the proportional set size of a process and its children: pages that they share count once."""

    def __init__(self, pid: int) -> None:
        self._process, self._most, self._go = psutil.Process(pid), 0, True
        # Daemon: Ctrl-C while the program runs must end this one, too.
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while self._go:
            total = 0
            try:
                for process in (self._process, *self._process.children(recursive=True)):
                    # Files in the page cache count for nobody: cp would otherwise "need" what it copies.
                    memory = process.memory_full_info()
                    total += memory.pss
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                pass
            self._most = max(self._most, total)
            time.sleep(0.05)

    def stop(self) -> int:
        self._go = False
        self._thread.join()
        return self._most


def streaming(folder: Path, narrower: int, repeats: int, methods: Sequence[str]) -> None:
    """Average, task arithmetic and TIES against a copy of the same bytes and against mergekit."""
    models = write(folder / f"narrower{narrower}", narrower, EXPERTS, torch.bfloat16)
    size = sum(file.stat().st_size for path in models.values() for file in path.glob("*.safetensors"))
    print(
        f"\n{EXPERTS} experts and a base, {size / 1e9:.2f} GB in bfloat16, 1/{narrower} of the width; output bfloat16\n"
    )
    print("| method | program | wall s | against cp | against mergekit | CPU s | peak memory MB |")
    print("|---|---|---|---|---|---|---|")
    for method in methods:
        options, theirs = STREAMING[method]
        calls = {
            "cp": lambda: _copy(models, folder / "copy"),
            "lipo": lambda m=method, o=options: _ours(models, folder / "ours", m, o),
            "mergekit": lambda t=theirs, o=options: _mergekit(models, folder, t, o),
        }
        runs: dict[str, list[Run]] = {name: [] for name in calls}
        for _ in range(repeats):
            for name, call in calls.items():
                runs[name].append(call())
        wall = {name: statistics.median(run.wall for run in found) for name, found in runs.items()}
        for name, found in runs.items():
            cpu, memory = (statistics.median(getattr(run, key) for run in found) for key in ("cpu", "memory"))
            print(
                f"| {method} | {name} | {wall[name]:.1f} | {wall[name] / wall['cp']:.2f} "
                f"| {wall[name] / wall['mergekit']:.2f} | {cpu:.1f} | {memory / 1e6:.0f} |",
                flush=True,
            )


def _copy(models: dict[str, Path], target: Path) -> Run:
    """Copy what a merge reads, and once more as much as it writes: one model."""
    shutil.rmtree(target, ignore_errors=True)
    sources = [*models.values(), models["base"]]
    target.mkdir(parents=True)
    pieces = [f"cp -r {source} {target}/{index}" for index, source in enumerate(sources)]
    run = timed(["sh", "-c", " && ".join([*pieces, f"sync -f {target}"])])
    shutil.rmtree(target)
    return run


def _ours(models: dict[str, Path], out: Path, method: str, options: dict[str, float], *more: str) -> Run:
    shutil.rmtree(out, ignore_errors=True)
    experts = [str(path) for name, path in models.items() if name != "base"]
    command = [*LIPO, "--base", str(models["base"]), "--experts", *experts, "--out", str(out), "--method", method]
    command += [part for key, value in options.items() for part in ("--set", f"{key}={value}")]
    return timed([*command, "--dtype", "bfloat16", *more])


def _mergekit(models: dict[str, Path], folder: Path, method: str, options: dict[str, float]) -> Run:
    shutil.rmtree(folder / "theirs", ignore_errors=True)
    each = {"weight": options.get("scale", 1.0)} | ({"density": options["density"]} if "density" in options else {})
    experts = [{"model": str(path), "parameters": each} for name, path in models.items() if name != "base"]
    recipe = {"merge_method": method, "models": experts, "dtype": "bfloat16"}
    if method != "linear":
        recipe["base_model"] = str(models["base"])
    # YAML holds JSON.
    (folder / "mergekit.yaml").write_text(json.dumps(recipe), "utf-8")
    program = shutil.which("mergekit-yaml", path=Path(sys.executable).parent)
    assert program
    return timed([program, str(folder / "mergekit.yaml"), str(folder / "theirs")])


def autograd_amm(base: torch.Tensor, experts: Sequence[torch.Tensor], steps: int) -> torch.Tensor:
    """AMM as its formulas are written, differentiated by torch."""
    tau = torch.stack([expert - base for expert in experts])
    unit = float(tau.square().mean().sqrt())
    tau /= unit
    merged = tau.sum(0).requires_grad_()
    adam = torch.optim.Adam([merged], lr=0.01)
    basis, _ = torch.linalg.qr(tau.flatten(1).T)
    norms = tau.flatten(1).norm(dim=1)
    for _ in range(steps):
        with torch.no_grad():
            cosines = (tau * merged).sum((1, 2)) / (norms * merged.norm())
            weights = amm_weights(norms, cosines, temperature=1.0)
        terms = (w * ((merged - t) @ t.T).square().sum() / n**2 for w, t, n in zip(weights, tau, norms, strict=True))
        loss = sum(terms)
        (gradient,) = torch.autograd.grad(loss, merged, create_graph=True)
        outside = gradient.flatten() - basis @ (basis.T @ gradient.flatten())
        adam.zero_grad()
        (loss + 0.1 * outside.square().sum()).backward()
        adam.step()
    return base + unit * merged.detach()


def _layer(shape: tuple[int, int], device: str = "cpu") -> tuple[torch.Tensor, list[torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(shape, generator=generator).mul_(0.02)
    experts = [base + 1e-3 * torch.randn(shape, generator=generator) for _ in range(EXPERTS)]
    return base.to(device), [expert.to(device) for expert in experts]


def _clock(call: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    started = clock()
    call()
    return clock() - started


def amm_against_autograd(narrower: int, steps: int, repeats: int) -> None:
    """CPU seconds for all linear layers and 300 steps, from one layer of each shape and fewer steps."""
    torch.set_num_threads(1)
    size = f"1/{narrower} of the width, CPU seconds on one core, {EXPERTS} experts"
    print(f"\nAMM, 300 steps on every linear layer at {size}\n")
    print("| layers | shape | form | lipo s | autograd s | ratio | relative difference of the results |")
    print("|---|---|---|---|---|---|---|")
    sums = {"ours": 0.0, "autograd": 0.0}
    for shape, count in linear_layers(narrower).items():
        base, experts = _layer(shape)
        few, many = max(1, steps // 5), steps
        calls = {
            "ours": lambda n, b=base, e=experts: amm(b, e, AmmOptions(steps=n))[0],
            "autograd": lambda n, b=base, e=experts: autograd_amm(b, e, n),
        }
        seconds: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(repeats):
            for name, call in calls.items():
                short, long = (_clock(lambda c=call, n=n: c(n), time.process_time) for n in (few, many))
                step = max(long - short, 1e-9) / (many - few)
                seconds[name].append(short + (300 - few) * step)
        results = [call(many) for call in calls.values()]
        difference = float((results[0] - results[1]).norm() / (results[1] - base).norm())
        took = {name: count * statistics.median(found) for name, found in seconds.items()}
        for name in sums:
            sums[name] += took[name]
        ratio = took["autograd"] / took["ours"]
        form = choose_form(*shape, EXPERTS, penalty=True)
        print(
            f"| {count} | {shape[0]} × {shape[1]} | {form} | {took['ours']:.0f} | {took['autograd']:.0f} | {ratio:.1f} "
            f"| {difference:.0e} |",
            flush=True,
        )
    print(f"| all | | | {sums['ours']:.0f} | {sums['autograd']:.0f} | {sums['autograd'] / sums['ours']:.1f} | |")


def memory(folder: Path) -> None:
    """Most memory of a merge with one worker whose layers have the full width of the 3B model."""
    print("\nFull shapes of Qwen2.5-VL-3B, float32, 3 experts, AMM with 2 steps, one worker\n")
    print("| tensor | shape | peak memory MB |")
    print("|---|---|---|")
    for name, shape in (
        ("model.layers.0.mlp.gate_proj.weight", (11008, 2048)),
        ("model.layers.0.mlp.down_proj.weight", (2048, 11008)),
        ("visual.merger.mlp.0.weight", (5120, 5120)),
        ("model.embed_tokens.weight", (151936, 2048)),
    ):
        shutil.rmtree(folder / "memory", ignore_errors=True)
        models = {}
        for index, model in enumerate(("base", *(f"expert{i}" for i in range(EXPERTS)))):
            models[model] = folder / "memory" / model
            models[model].mkdir(parents=True)
            (models[model] / "config.json").write_text("{}", "utf-8")
            values = torch.randn(shape, generator=torch.Generator().manual_seed(index)).mul_(0.02)
            save_file({name: values}, models[model] / "model.safetensors")
        run = _ours(models, folder / "memory" / "out", "amm", {"steps": 2}, "workers=1")
        print(f"| {name} | {shape[0]} × {shape[1]} | {run.memory / 1e6:.0f} |", flush=True)


def scaling(folder: Path, narrower: int, repeats: int) -> None:
    """One and two workers: threads of one process, and worker processes of a local Ray."""
    models = write(folder / f"narrower{narrower}", narrower, EXPERTS, torch.bfloat16)
    print(f"\nOne and two workers, 1/{narrower} of the width; AMM with 3 steps\n")
    print("| method | workers are | 1 worker s | 2 workers s | speed-up |")
    print("|---|---|---|---|---|")
    for method, options in (("average", {}), ("amm", {"steps": 3})):
        for kind, address in (("threads", "null"), ("Ray processes", "local")):
            wall: dict[int, list[float]] = {1: [], 2: []}
            for _ in range(repeats):
                for workers, found in wall.items():
                    run = _ours(models, folder / "ours", method, options, f"workers={workers}", f"address={address}")
                    found.append(run.wall)
            one, two = (statistics.median(found) for found in wall.values())
            print(f"| {method} | {kind} | {one:.1f} | {two:.1f} | {one / two:.2f} |", flush=True)


def gpu() -> None:
    """Full 3B shapes, 300 steps, layer by layer: seconds, and the arithmetic's floor at a matrix product's speed."""
    if not torch.cuda.is_available():
        print("\nGPU: not measured, torch sees none here")
        return
    print(f"\nAMM, 300 steps, every linear layer of Qwen2.5-VL-3B, {torch.cuda.get_device_name()}\n")
    print("| matrix products | seconds | floor s | ratio |")
    print("|---|---|---|---|")
    for name, precision in (("fp32", "highest"), ("tf32", "high")):
        torch.set_float32_matmul_precision(precision)
        seconds = operations = 0.0
        for shape, count in linear_layers().items():
            base, experts = _layer(shape, "cuda")
            for _ in range(2):  # The first time, libraries choose their kernels.
                took = _clock(lambda b=base, e=experts: (amm(b, e, AmmOptions()), torch.cuda.synchronize()))
            seconds += count * took
            form = choose_form(*shape, EXPERTS, penalty=True)
            operations += count * 300 * flops_per_step(form, *shape, EXPERTS, penalty=True)
        floor = operations / _matmul_speed()
        print(f"| {name} | {seconds:.0f} | {floor:.0f} | {seconds / floor:.2f} |", flush=True)


def _matmul_speed() -> float:
    """Operations per second of a large product in the present precision."""
    a, b = torch.randn(2, 8192, 8192, device="cuda")
    for _ in range(3):
        a @ b
    torch.cuda.synchronize()
    took = _clock(lambda: ([a @ b for _ in range(20)], torch.cuda.synchronize()))
    return 20 * 2 * 8192**3 / took


def main() -> None:
    """Print Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = ("streaming", "amm", "memory", "scaling", "gpu")
    parser.add_argument("parts", nargs="+", choices=parts)
    parser.add_argument("--narrower", type=int, default=4, help="divide every width by this")
    parser.add_argument("--methods", nargs="+", choices=STREAMING, default=list(STREAMING), help="of 'streaming'")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10, help="AMM steps measured per layer, then extrapolated to 300")
    parser.add_argument("--folder", type=Path, help="where checkpoints are made and kept; a temporary one by default")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.folder or Path(scratch)
        calls = {
            "streaming": lambda: streaming(folder, arguments.narrower, arguments.repeats, arguments.methods),
            "amm": lambda: amm_against_autograd(arguments.narrower, arguments.steps, arguments.repeats),
            "memory": lambda: memory(folder),
            "scaling": lambda: scaling(folder, arguments.narrower, arguments.repeats),
            "gpu": gpu,
        }
        for part in arguments.parts:
            calls[part]()


if __name__ == "__main__":
    main()
