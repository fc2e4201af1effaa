"""Merges through Ray: whole, again, with mistakes, killed and continued."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import ray
import torch
from safetensors.torch import load_file, save_file

from lipo.common import LipoError, sha256_file
from lipo.common.local_ray import on_loopback
from merge import MergeConfig, Progress, Rule, build_plan, run
from merge.methods import AmmOptions, amm
from merge.tensor import merge_tensor
from merge.writer import create

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    """One Ray for the tests that need nothing of their own."""
    with on_loopback():
        ray.init(
            address="local",
            num_cpus=2,
            include_dashboard=False,
            log_to_driver=False,
            object_store_memory=100 * 2**20,
            _node_ip_address="127.0.0.1",
        )
    yield
    ray.shutdown()


def _config(models: dict[str, Path], out: Path, **changes) -> MergeConfig:
    experts = {name: path for name, path in models.items() if name != "base"}
    return MergeConfig(**({"base": models["base"], "experts": experts, "out": out} | changes))


@pytest.mark.usefixtures("local_ray")
def test_a_merge_and_the_same_again(models, tmp_path: Path) -> None:
    seen: list[Progress] = []
    config = _config(models, tmp_path / "runs" / "out", options={"steps": 30}, workers=2)
    assert run(config, seen.append) == config.out
    assert ray.is_initialized()
    assert seen[0].fraction == 0 and seen[-1].fraction == pytest.approx(1) and seen[-1].done == seen[-1].total == 7
    assert [p.fraction for p in seen] == sorted(p.fraction for p in seen)
    assert [p.name for p in (tmp_path / "runs").iterdir()] == ["out"]
    manifest = json.loads((config.out / "manifest.json").read_text())
    assert manifest["output"] == {"model.safetensors": sha256_file(config.out / "model.safetensors")}
    name = "model.layers.0.mlp.up_proj.weight"
    base, math, ocr = (load_file(models[n] / "model.safetensors")[name] for n in ("base", "math", "ocr"))
    assert torch.equal(
        load_file(config.out / "model.safetensors")[name], amm(base, [math, ocr], AmmOptions(steps=30))[0]
    )

    before = (config.out / "model.safetensors").stat().st_mtime_ns
    assert run(config) == config.out
    assert (config.out / "model.safetensors").stat().st_mtime_ns == before
    with pytest.raises(LipoError, match="exists and is not the result of this merge"):
        run(_config(models, config.out, method="average"))


@pytest.mark.usefixtures("local_ray")
def test_an_error_in_a_worker_is_one_message_and_leaves_no_output(models, tmp_path: Path) -> None:
    tensors = load_file(models["ocr"] / "model.safetensors")
    tensors["model.norm.weight"][0] = float("inf")
    save_file(tensors, models["ocr"] / "model.safetensors")
    config = _config(models, tmp_path / "out", method="average")
    with pytest.raises(LipoError, match=r"'model\.norm\.weight' .* holds NaN or infinite"):
        run(config)
    assert not config.out.exists()


@pytest.mark.usefixtures("local_ray")
def test_bytes_lost_on_disk_are_made_again(models, tmp_path: Path) -> None:
    """After a crash of the machine the journal may be ahead of the data."""
    tensors = load_file(models["ocr"] / "model.safetensors")
    good = tensors["model.norm.weight"].clone()
    tensors["model.norm.weight"][0] = float("nan")
    path, config = models["ocr"] / "model.safetensors", _config(models, tmp_path / "out", method="average", workers=1)
    save_file(tensors, path)
    stamp = path.stat().st_mtime_ns
    with pytest.raises(LipoError, match="NaN"):
        run(config)
    (partial,) = tmp_path.glob(".out.*.merging/model/model.safetensors")
    size = partial.stat().st_size
    partial.write_bytes(partial.read_bytes()[: size // 2])
    save_file(tensors | {"model.norm.weight": good}, path)
    os.utime(path, ns=(stamp, stamp))
    run(config)
    fresh = _config(models, tmp_path / "fresh", method="average")
    run(fresh)
    assert sha256_file(config.out / "model.safetensors") == sha256_file(fresh.out / "model.safetensors")


def test_tiny_qwen_merges_and_generates(tmp_path: Path) -> None:
    """A Qwen2.5-VL with tied weights goes in, and comes out as a model that transformers loads completely."""
    from transformers import AutoModelForImageTextToText

    from recipes.tiny.model import build_model, save_model

    sizes = {"hidden": 64, "layers": 1, "vision_hidden": 32, "vision_layers": 1}
    base = build_model(0, **sizes)
    save_model(base, tmp_path / "base")
    paths = {"base": tmp_path / "base"}
    for seed, name in enumerate(("math", "ocr"), start=1):
        torch.manual_seed(seed)
        expert = build_model(0, **sizes)
        with torch.no_grad():
            for parameter in expert.parameters():
                parameter.add_(1e-3 * torch.randn_like(parameter))
        save_model(expert, tmp_path / name)
        paths[name] = tmp_path / name
    # Starts a Ray of its own, and ends it.
    rules = (Rule(match="^visual", use="base"),)
    out = run(_config(paths, tmp_path / "out", options={"steps": 5}, rules=rules, workers=1))
    model, report = AutoModelForImageTextToText.from_pretrained(out, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"] and not report["mismatched_keys"]
    assert model.lm_head.weight.data_ptr() == model.get_input_embeddings().weight.data_ptr()
    ids = torch.tensor([[1, 2, 3]])
    assert model.generate(input_ids=ids, max_new_tokens=2, do_sample=False).shape == (1, 5)
    names = {p.name for p in out.iterdir()}
    assert {"tokenizer.json", "chat_template.jinja", "preprocessor_config.json", "generation_config.json"} <= names


SCRIPT = """
import sys
from pathlib import Path
from merge import MergeConfig, run
folder, workers, steps = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
experts = {name: folder / name for name in ("a", "b")}
run(MergeConfig(base=folder / "base", experts=experts, out=folder / "out", options={"steps": steps}, workers=workers))
"""


def _start(folder: Path, workers: int, steps: int) -> subprocess.Popen[bytes]:
    # A process group of its own, as a shell gives each command: Ctrl-C reaches all of it.
    arguments = [sys.executable, "-c", SCRIPT, str(folder), str(workers), str(steps)]
    return subprocess.Popen(arguments, cwd=ROOT, start_new_session=True, stderr=subprocess.PIPE)


def _wait_for_records(folder: Path, count: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, process.stderr and process.stderr.read().decode()
        if sum(j.read_bytes().count(b"\n") for j in folder.glob(".out.*.merging/journal.jsonl")) >= count:
            return
        time.sleep(0.02)
    raise AssertionError("the merge does not get on")


def _survivors(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Processes still alive a minute from now; a zombie that nobody reaps, as in some containers, is dead."""

    def alive(process: psutil.Process) -> bool:
        try:
            return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and any(map(alive, processes)):
        time.sleep(0.2)
    return [process for process in processes if alive(process)]


def _many_layers(folder: Path, write_model, layers: int = 12, width: int = 96) -> None:
    generator = torch.Generator().manual_seed(0)
    base = {f"layers.{i}.weight": torch.randn(width, width, generator=generator) for i in range(layers)}
    write_model(folder / "base", base, 2)
    for name in ("a", "b"):
        write_model(folder / name, {k: v + 1e-3 * torch.randn(v.shape, generator=generator) for k, v in base.items()})


def test_killed_workers_and_drivers_give_the_same_bits(tmp_path: Path, write_model) -> None:
    _many_layers(tmp_path, write_model)
    steps = 1000
    first = _start(tmp_path, workers=2, steps=steps)
    _wait_for_records(tmp_path, 2, first)
    workers = [p for p in psutil.Process(first.pid).children(recursive=True) if "_remote_call" in " ".join(p.cmdline())]
    assert workers, "no worker to kill"
    workers[0].kill()
    _wait_for_records(tmp_path, 4, first)
    # Ray's own agents take minutes to notice; what matters is that nothing writes any more.
    family = [p for p in psutil.Process(first.pid).children(recursive=True) if "Agent" not in p.name()]
    first.kill()
    first.wait()
    assert not (tmp_path / "out").exists()
    assert not _survivors(family)

    second = _start(tmp_path, workers=1, steps=steps)
    assert second.wait(timeout=300) == 0, second.stderr and second.stderr.read().decode()
    experts = {name: tmp_path / name for name in ("a", "b")}
    plan = build_plan(
        MergeConfig(base=tmp_path / "base", experts=experts, out=tmp_path / "unused", options={"steps": steps})
    )
    # The reference never stopped, and never saw Ray.
    (tmp_path / "reference").mkdir()
    for name, layout in plan.layouts.items():
        create(tmp_path / "reference" / name, layout)
    for job in plan.jobs:
        merge_tensor(job, tmp_path / "reference", list(plan.experts))
    for name in plan.layouts:
        assert sha256_file(tmp_path / "out" / name) == sha256_file(tmp_path / "reference" / name)


def test_ctrl_c_leaves_no_process_and_no_output(tmp_path: Path, write_model) -> None:
    _many_layers(tmp_path, write_model)
    process = _start(tmp_path, workers=2, steps=4000)
    _wait_for_records(tmp_path, 1, process)
    family = psutil.Process(process.pid).children(recursive=True)
    assert family
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=60) != 0
    assert not _survivors(family)
    assert not (tmp_path / "out").exists()
    assert list(tmp_path.glob(".out.*.merging/journal.jsonl"))
