"""A merge from recipe to model directory."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from lipo.common import LipoError, require_free_space, sha256_file
from lipo.common.storage import require_local
from merge._early import EarlyHashes
from merge._start import Progress
from merge.config import MergeConfig
from merge.executor import Pool, Task, connect
from merge.journal import Journal, workspace
from merge.manifest import copy_accompanying, is_complete, write_manifest
from merge.plan import Job, Plan, build_plan
from merge.reader import itemsize
from merge.tensor import merge_tensor
from merge.writer import create, hash_range, sync

# Hashing a byte takes about as long as this many operations of a matrix product.
_HASH = 40.0
_MIB = 2**20


def carry_out(config: MergeConfig, early: EarlyHashes, on_progress: Callable[[Progress], None]) -> Path:
    """Do what :func:`merge.run` describes, with hashes of inputs that are being taken already."""
    started = time.perf_counter()
    require_local(config.out, "out")
    # Workers may run in another directory.
    shown, config = config.out, dataclasses.replace(config, out=config.out.absolute())
    plan = build_plan(config)
    if config.out.exists():
        if is_complete(plan):
            return shown
        raise LipoError(f"{shown} exists and is not the result of this merge", "choose another 'out' or remove it")
    try:
        _make(plan, early, on_progress, started)
    except OSError as error:
        raise LipoError(f"cannot write {shown}: {error}", "check disk and permissions") from error
    return shown


def _make(plan: Plan, early: EarlyHashes, on_progress: Callable[[Progress], None], started: float) -> None:
    """Make the output in a workspace beside it, and move it to its place."""
    config = plan.config
    with workspace(config.out, plan.fingerprint) as work:
        model = work / "model"
        model.mkdir(exist_ok=True)
        reserved = sum(file.stat().st_blocks * 512 for file in model.iterdir())
        require_free_space(config.out.parent, plan.size - reserved + 64 * _MIB, "the merged model")
        for name, layout in plan.layouts.items():
            create(model / name, layout)
        journal = Journal(work / "journal.jsonl")
        try:
            records = _work(plan, model, journal, early, on_progress)
        finally:
            journal.close()
        hashes = {key.removeprefix("file "): r["sha256"] for key, r in records.items() if key.startswith("file ")}
        tensors = {job.name: records[_key(job)] for job in plan.jobs}
        copy_accompanying(plan, model)
        write_manifest(plan, model, hashes, tensors, time.perf_counter() - started)
        for file in model.iterdir():
            sync(file)
        sync(model)
        os.rename(model, config.out)
        sync(config.out.parent)


def _work(
    plan: Plan, model: Path, journal: Journal, early: EarlyHashes, on_progress: Callable[[Progress], None]
) -> dict[str, dict[str, Any]]:
    """Do what the journal does not record as done; return all records."""
    names = list(plan.experts)
    todo: list[Task] = []
    done = [job for job in plan.jobs if _is_done(job, model, journal)]
    kept = {job.name for job in done}
    for job in plan.jobs:
        if job.name not in kept:
            effort = job.effort
            todo.append(Task(_key(job), merge_tensor, (job, model, names), effort.flops, effort.memory, on_device=True))
    unhashed = {file for file in plan.input_files if f"file {file}" not in journal.records}
    begun = early.claim() & unhashed
    todo += [_hash_task(file) for file in plan.input_files if file in unhashed - begun]
    after = [_hash_task(model / name) for name in plan.layouts]
    report = _Reporter(len(plan.jobs), len(done), [*todo, *after], on_progress)
    with connect(plan.config.workers, plan.config.address, plan.config.device) as pool:
        _drain(pool, todo, journal, report)
        hashes = early.results()
        for file in begun:
            journal.add(f"file {file}", {"sha256": hashes[file]} if file in hashes else hash_file(file))
        _drain(pool, after, journal, report)
    return journal.records


def _key(job: Job) -> str:
    return f"tensor {job.name}"


def _label(task: Task) -> str:
    return task.key.removeprefix("tensor ") if task.function is merge_tensor else f"hash of {task.arguments[0].name}"


def _hash_task(path: Path) -> Task:
    size = path.stat().st_size
    return Task(f"file {path}", hash_file, (path,), _HASH * size, 16 * _MIB)


def hash_file(path: Path) -> dict[str, str]:
    """Record of one weight file."""
    return {"sha256": sha256_file(path)}


def _is_done(job: Job, model: Path, journal: Journal) -> bool:
    """Whether the journal has the tensor and its bytes are on disk: after a crash of the machine they may not be."""
    record = journal.records.get(_key(job))
    size = job.base.numel * itemsize(job.dtype)
    return record is not None and record["sha256"] == hash_range(model / job.file, job.offset, size)


class _Reporter:
    """Turns finished tasks into progress."""

    def __init__(self, total: int, done: int, tasks: Iterable[Task], on_progress: Callable[[Progress], None]) -> None:
        self.total, self.done, self.call = total, done, on_progress
        self.flops, self.spent = sum(task.flops for task in tasks) or 1.0, 0.0
        self.call(Progress(done, total, 0.0, "reading the plan"))

    def add(self, task: Task) -> None:
        self.done += task.function is merge_tensor
        self.spent += task.flops
        self.call(Progress(self.done, self.total, self.spent / self.flops, _label(task)))


def _drain(pool: Pool, tasks: list[Task], journal: Journal, report: _Reporter) -> None:
    for task, record in pool.run(tasks):
        journal.add(task.key, record)
        report.add(task)
