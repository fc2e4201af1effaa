"""From headers to a list of jobs, with every problem reported at once and before any tensor is read."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import platform
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch

import lipo
from lipo.common import LipoError
from merge.checkpoint import Checkpoint, open_checkpoint
from merge.config import DTYPES, MergeConfig
from merge.methods import Effort, Method, elementwise_effort, get_method
from merge.reader import TensorInfo
from merge.writer import Layout, layout

COPY = "base"
# Elements that elementwise methods take at a time: what a core's cache holds of base, experts and result.
BLOCK = 1 << 17
# Problems of one kind shown per model; a wrong base would otherwise print every tensor's name.
_SHOWN = 5
_HEAD, _EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"
_NOT_LINEAR = re.compile(r"embed|lm_head|norm|(^|\.)(wte|wpe|shared)\.weight$", re.IGNORECASE)


@dataclass(frozen=True)
class Job:
    """One tensor's way from the inputs to the output.

    Attributes:
        name: Common name, as rules and reports use it.
        base: Place in the base.
        experts: Places in the experts, in the order of their sorted names.
        method: Method's name, or ``base`` for a copy.
        options: The method's options.
        file: Output file's name.
        offset: First byte in the output file.
        dtype: Output type, as safetensors names it.
        effort: What it costs.
        seed: The merge's seed, for methods that draw random numbers.
    """

    name: str
    base: TensorInfo
    experts: tuple[TensorInfo, ...]
    method: str
    options: Any
    file: str
    offset: int
    dtype: str
    effort: Effort
    seed: int


@dataclass(frozen=True)
class Plan:
    """Everything a merge will do.

    Attributes:
        config: The recipe.
        base: The base's headers.
        experts: The experts' headers, sorted by name.
        jobs: One per tensor of the output.
        layouts: Output file name to its layout.
        notes: What the user may want to know, e.g. tensors that are ignored.
    """

    config: MergeConfig
    base: Checkpoint
    experts: dict[str, Checkpoint]
    jobs: tuple[Job, ...]
    layouts: dict[str, Layout]
    notes: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes of the output's weights."""
        return sum(plan.size for plan in self.layouts.values())

    @property
    def input_files(self) -> list[Path]:
        """All weight files that are read, each once: an expert may be the base itself."""
        return list(dict.fromkeys(file for model in (self.base, *self.experts.values()) for file in model.files))

    @property
    def fingerprint(self) -> str:
        """Same for two runs exactly if the second may continue what the first left."""
        identity = {
            "settings": settings(self.config),
            "inputs": {str(f): [f.stat().st_size, f.stat().st_mtime_ns] for f in self.input_files},
            "layout": {name: hashlib.sha256(plan.header).hexdigest() for name, plan in self.layouts.items()},
            "versions": versions(),
        }
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def settings(config: MergeConfig) -> dict[str, Any]:
    """The part of a recipe that decides the result: workers and cluster do not."""
    data = dataclasses.asdict(config)
    for key in ("workers", "address", "out"):
        del data[key]
    data["options"] = dataclasses.asdict(get_method(config.method).parse_options(config.options, "options"))
    data["experts"] = dict(sorted(data["experts"].items()))
    plain: dict[str, Any] = json.loads(json.dumps(data, default=str))
    return plain


def versions() -> dict[str, str]:
    """Versions that the output's bits may depend on."""
    return {"lipo": lipo.__version__, "torch": torch.__version__, "python": platform.python_version()}


def build_plan(config: MergeConfig) -> Plan:
    """Read every header and decide what happens to each tensor.

    Args:
        config: The recipe.

    Returns:
        The plan; no tensor has been read, nothing written.

    Raises:
        LipoError: With all problems found: bad options or rules, missing models, broken files, tensors that are
            missing, surplus or of another shape, a tensor too large for memory.
    """
    method, options, rules = _read_settings(config)
    notes: list[str] = []
    base, experts, sources = _open(config, (), notes)
    assert base is not None  # noqa: S101 - a missing base has been refused

    treatments = {}
    for key, info in base.tensors.items():
        treatments[key] = _treat(info, key, method, options, rules)
    layouts, offsets = _lay_out(config, base, treatments)
    jobs = []
    for key, info in base.tensors.items():
        name, chosen = treatments[key]
        file, dtype = offsets[key]
        effort = _effort(name, chosen, info, len(experts))
        place = layouts[file].offsets[info.name]
        jobs.append(Job(key, info, tuple(sources[key]), name, chosen, file, place, dtype, effort, config.seed))
    _check_memory(jobs, config)
    return Plan(config, base, experts, tuple(jobs), layouts, tuple(notes))


def check(config: MergeConfig, later: Collection[Path] = ()) -> None:
    """Refuse what :func:`build_plan` would refuse, while some of the models are still to be made.

    Args:
        config: The recipe.
        later: Absolute paths of models that need not be there yet; they are not looked at.

    Raises:
        LipoError: As of :func:`build_plan`, for settings and for the models that must be there.

    Example:
        >>> check(config, later=[Path("runs/experts/math").absolute()])  # doctest: +SKIP
    """
    _read_settings(config)
    _open(config, later, [])


def _read_settings(config: MergeConfig) -> tuple[Method, Any, list[_CompiledRule]]:
    method = get_method(config.method)
    options = method.parse_options(config.options, "options")
    return method, options, [_compile(config, index) for index in range(len(config.rules))]


def _open(
    config: MergeConfig, later: Collection[Path], notes: list[str]
) -> tuple[Checkpoint | None, dict[str, Checkpoint], dict[str, list[TensorInfo]]]:
    """Read the headers of the base and of all experts but ``later``, and match their tensors with the base's."""
    problems: list[str] = []
    if not config.experts:
        problems.append("there are no experts")
    base = None if config.base.absolute() in later else open_checkpoint(config.base, problems)
    if base is not None and any(file.suffix != ".safetensors" for file in base.files):
        problems.append(f"the base {config.base} is a training checkpoint; give the model that training started from")
    present = {name: path for name, path in sorted(config.experts.items()) if path.absolute() not in later}
    opened = {name: open_checkpoint(path, problems) for name, path in present.items()}
    experts = {name: expert for name, expert in opened.items() if expert is not None}
    sources: dict[str, list[TensorInfo]] = {}
    if base is not None:
        for name, expert in experts.items():
            for key, info in _match(name, base, expert, problems, notes).items():
                sources.setdefault(key, []).append(info)
    _raise(problems)
    return base, experts, sources


def is_linear(name: str, shape: Sequence[int]) -> bool:
    """Whether a tensor is the weight matrix of a linear layer, which the matrix methods are defined for."""
    return len(shape) == 2 and name.endswith(".weight") and not _NOT_LINEAR.search(name)


@dataclass(frozen=True)
class _CompiledRule:
    pattern: re.Pattern[str]
    method: Method | None
    options: Any


def _compile(config: MergeConfig, index: int) -> _CompiledRule:
    rule, where = config.rules[index], f"rules[{index}]"
    try:
        pattern = re.compile(rule.match)
    except re.error as error:
        raise LipoError(f"{where}.match is not a regular expression: {error}", "correct it") from None
    if rule.use == COPY:
        if rule.options:
            raise LipoError(f"{where} keeps the base and has options", "remove the options")
        return _CompiledRule(pattern, None, None)
    method = get_method(config.method if rule.use == "method" else rule.use)
    inherited = config.options if method.name == config.method else {}
    return _CompiledRule(pattern, method, method.parse_options({**inherited, **rule.options}, f"{where}.options"))


def _treat(
    info: TensorInfo, name: str, method: Method, options: Any, rules: Sequence[_CompiledRule]
) -> tuple[str, Any]:
    """Name the method of one tensor and its options; ``base`` for a copy."""
    if not info.is_float or not info.numel:
        return COPY, None
    for rule in rules:
        if rule.pattern.search(name):
            if rule.method is None:
                return COPY, None
            method, options = rule.method, rule.options
            break
    if method.matrices_only and not is_linear(name, info.shape):
        average = get_method("average")
        return average.name, average.options(scale=options.scale)
    return method.name, options


def _effort(method: str, options: Any, info: TensorInfo, experts: int) -> Effort:
    if method == COPY:
        return elementwise_effort((min(info.numel, BLOCK),), 0, None)
    chosen = get_method(method)
    effort = chosen.effort(info.shape, experts, options)
    if chosen.elementwise:
        block = chosen.effort((min(info.numel, BLOCK),), experts, options)
        return Effort(effort.flops, block.memory)
    return effort


def _match(
    expert_name: str, base: Checkpoint, expert: Checkpoint, problems: list[str], notes: list[str]
) -> dict[str, TensorInfo]:
    """Pair the base's tensors with one expert's; collect what does not fit."""
    found = dict(expert.tensors)
    tied = base.ties_embeddings and expert.ties_embeddings
    if tied and _HEAD in base.tensors and _HEAD not in found and _EMBEDDING in found:
        found[_HEAD] = found[_EMBEDDING]
    if tied and _HEAD in found and _HEAD not in base.tensors:
        del found[_HEAD]
        notes.append(f"expert '{expert_name}': {_HEAD} is ignored because it is tied to the input embedding")
    missing = [f"tensor '{key}' of the base is missing" for key in base.tensors if key not in found]
    surplus = [
        f"tensor '{key}' ({found[key].file.name}) is not in the base" for key in found if key not in base.tensors
    ]
    unlike = []
    for key, info in base.tensors.items():
        other = found.get(key)
        if other is not None and (other.shape != info.shape or other.is_float != info.is_float):
            unlike.append(
                f"tensor '{key}' ({other.file.name}) is {other.dtype} {list(other.shape)}, "
                f"but in the base {info.dtype} {list(info.shape)}"
            )
    for kind in (missing, surplus, unlike):
        problems.extend(f"expert '{expert_name}' in {expert.directory}: {text}" for text in kind[:_SHOWN])
        if len(kind) > _SHOWN:
            problems.append(f"expert '{expert_name}': and {len(kind) - _SHOWN} more like the last")
    return {key: found[key] for key in base.tensors if key in found}


def _lay_out(
    config: MergeConfig, base: Checkpoint, treatments: Mapping[str, tuple[str, Any]]
) -> tuple[dict[str, Layout], dict[str, tuple[str, str]]]:
    """Split the output into files as the base is; return the layouts and each tensor's file and dtype."""
    per_file: dict[str, dict[str, tuple[str, tuple[int, ...]]]] = {file.name: {} for file in base.files}
    places = {}
    for key in treatments:
        info = base.tensors[key]
        dtype = DTYPES[config.dtype] if info.is_float else info.dtype
        per_file[info.file.name][info.name] = (dtype, info.shape)
        places[key] = (info.file.name, dtype)
    return {name: layout(tensors) for name, tensors in per_file.items()}, places


def _check_memory(jobs: Sequence[Job], config: MergeConfig) -> None:
    if config.address is not None or not jobs:
        return
    largest = max(jobs, key=lambda job: job.effort.memory)
    total = psutil.virtual_memory().total
    if largest.effort.memory > total:
        raise LipoError(
            f"tensor '{largest.name}' needs {largest.effort.memory / 1e9:.1f} GB with method {largest.method}, "
            f"but this machine has {total / 1e9:.1f} GB",
            "use a larger machine or a rule with another method for this tensor",
        )


def _raise(problems: Sequence[str]) -> None:
    if problems:
        count = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
        lines = "".join(f"\n  - {problem}" for problem in problems)
        raise LipoError(f"the merge cannot start because of {count}:{lines}", "correct the recipe or the models")
