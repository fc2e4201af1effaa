"""What was merged from what, how, and what came out: ``manifest.json``, and the files that accompany the weights."""

from __future__ import annotations

import json
import shutil
import statistics
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lipo.common import atomic_write, sha256_file
from merge.card import model_card
from merge.checkpoint import INDEX, Checkpoint
from merge.describe import kind_of
from merge.plan import COPY, Plan, settings, versions

MANIFEST = "manifest.json"
# Named one by one: a model directory from elsewhere may hold code, pickles and links that a merge must not spread.
_ACCOMPANYING = (
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
    "merges.txt",
    "preprocessor_config.json",
    "processor_config.json",
    "sentencepiece.bpe.model",
    "special_tokens_map.json",
    "spiece.model",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "video_preprocessor_config.json",
    "vocab.json",
    "vocab.txt",
)


def copy_accompanying(plan: Plan, directory: Path) -> None:
    """Copy tokenizer, processor, chat template and generation settings from the base, and write the model's config.

    The config names the output's own dtype: loaders round the weights to what it says.
    """
    for name in _ACCOMPANYING:
        if (plan.base.directory / name).is_file():
            shutil.copyfile(plan.base.directory / name, directory / name)
    config = _with_dtype(plan.base.config, plan.config.dtype)
    _write_json(directory / "config.json", config)
    if plan.base.has_index:
        weight_map = {job.base.name: job.file for job in plan.jobs}
        total = plan.size - sum(len(layout.header) for layout in plan.layouts.values())
        _write_json(
            directory / INDEX, {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
        )


def _with_dtype(config: Mapping[str, Any], dtype: str) -> dict[str, Any]:
    changed = {}
    for key, value in config.items():
        if key in ("dtype", "torch_dtype") and isinstance(value, str):
            value = dtype
        elif key.endswith("_config") and isinstance(value, dict):
            value = _with_dtype(value, dtype)
        changed[key] = value
    return changed


def write_manifest(
    plan: Plan, directory: Path, hashes: Mapping[str, str], tensors: Mapping[str, dict[str, Any]], seconds: float
) -> None:
    """Write ``manifest.json`` and the model card, ``README.md``.

    Args:
        plan: What was done.
        directory: Where the output is.
        hashes: SHA-256 of every input and output weight file, by path.
        tensors: Record of every tensor, by common name.
        seconds: Wall time of this run.
    """
    config = settings(plan.config)
    summary = summarise(tensors, plan.config.method) | {"seconds": round(seconds, 2)}
    content = {
        "format": 1,
        "fingerprint": plan.fingerprint,
        "config": config,
        "versions": versions(),
        "inputs": {
            "base": _files(plan.base, hashes),
            "experts": {name: _files(expert, hashes) for name, expert in plan.experts.items()},
        },
        "output": {name: hashes[str(directory / name)] for name in plan.layouts},
        "notes": list(plan.notes),
        "summary": summary,
        "tensors": dict(sorted(tensors.items())),
    }
    _write_json(directory / MANIFEST, content)
    with atomic_write(directory / "README.md") as file:
        file.write(model_card(plan, summary))


def _files(model: Checkpoint, hashes: Mapping[str, str]) -> dict[str, str]:
    return {file.name: hashes[str(file)] for file in model.files}


def summarise(tensors: Mapping[str, dict[str, Any]], method: str) -> dict[str, Any]:
    """Condense tensor records.

    Args:
        tensors: Record of every tensor, by common name.
        method: The recipe's own; the fallback for other tensors would hide what it did.

    Returns:
        Count of tensors per method; medians of norm ratio, expert cosine and surviving delta over the tensors of
        ``method``; for 16-bit outputs also ``survived``, its median for each kind of tensor.
    """
    own = [record for record in tensors.values() if record["method"] == method]
    merged = own or [record for record in tensors.values() if record["method"] != COPY]
    cosines = [cosine for record in merged for cosine in record["cosines"].values()]
    ratios = [record["norm_ratio"] for record in merged if record["norm_ratio"] is not None]
    survived = [record["survived"] for record in merged if "survived" in record]
    kinds: dict[str, list[float]] = {}
    for name, record in tensors.items():
        if "survived" in record:
            kinds.setdefault(kind_of(name), []).append(record["survived"])
    summary: dict[str, Any] = {"tensors": dict(sorted(Counter(r["method"] for r in tensors.values()).items()))}
    for name, values in (("norm_ratio", ratios), ("expert_cosine", cosines), ("survived", survived)):
        if values:
            summary[f"median_{name}"] = round(statistics.median(values), 4)
    if kinds:
        summary["survived"] = {kind: round(statistics.median(values), 4) for kind, values in sorted(kinds.items())}
    return summary


def is_complete(plan: Plan) -> bool:
    """Whether ``out`` already holds exactly what the plan would make."""
    out = plan.config.out
    try:
        content = json.loads((out / MANIFEST).read_text("utf-8"))
        if content["config"] != settings(plan.config):
            return False
        if any((out / name).stat().st_size != layout.size for name, layout in plan.layouts.items()):
            return False
        if not _is_accompanied(plan):
            return False
        if content["fingerprint"] == plan.fingerprint:
            return True
        # Same recipe, other file times: a copy or a fresh clone of the same inputs is still the same.
        recorded = [content["inputs"]["base"], *(content["inputs"]["experts"][name] for name in plan.experts)]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    models = (plan.base, *plan.experts.values())
    return all(
        files == {file.name: sha256_file(file) for file in model.files}
        for files, model in zip(recorded, models, strict=True)
    )


def _is_accompanied(plan: Plan) -> bool:
    """Whether the files beside the weights in ``out`` are what :func:`copy_accompanying` would write there."""
    base, out = plan.base.directory, plan.config.out
    config = json.loads((out / "config.json").read_text("utf-8"))
    return config == _with_dtype(plan.base.config, plan.config.dtype) and all(
        _content(out / name) == _content(base / name) for name in _ACCOMPANYING
    )


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    with atomic_write(path) as file:
        json.dump(content, file, indent=2, ensure_ascii=False)
        file.write("\n")
