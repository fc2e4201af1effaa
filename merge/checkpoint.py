"""A model directory: which safetensors files it has, which tensors, under which common names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lipo.common import LipoError
from merge.fsdp import find_shards, read_shards
from merge.reader import TensorInfo, read_header

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"

# Releases of transformers name the same tensors differently; the first form is the one on disk since v5.
_RENAMES = (
    ("model.language_model.", "model."),
    ("language_model.model.", "model."),
    ("language_model.lm_head.", "lm_head."),
    ("model.visual.", "visual."),
)


@dataclass(frozen=True)
class Checkpoint:
    """A model directory whose headers have been read.

    Attributes:
        directory: Where it is.
        files: Its safetensors files, sorted by name, or verl's shards.
        tensors: Common name to place.
        config: Content of ``config.json``.
        has_index: Whether an index lists the files.
    """

    directory: Path
    files: tuple[Path, ...]
    tensors: dict[str, TensorInfo]
    config: dict[str, Any]
    has_index: bool

    @property
    def ties_embeddings(self) -> bool:
        """Whether the output head is the input embedding, by the config or because no head is stored."""
        text = self.config.get("text_config")
        nested = text.get("tie_word_embeddings") if isinstance(text, dict) else None
        declared = self.config.get("tie_word_embeddings", nested)
        return bool(declared) if declared is not None else "lm_head.weight" not in self.tensors


def common_name(name: str) -> str:
    """Name a tensor as ``save_pretrained`` of transformers 5 does, whichever release wrote it.

    Example:
        >>> common_name("model.language_model.layers.0.mlp.up_proj.weight")
        'model.layers.0.mlp.up_proj.weight'
    """
    for old, new in _RENAMES:
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name


def open_checkpoint(directory: Path, problems: list[str]) -> Checkpoint | None:
    """Read the headers of a model directory; tensor data stays untouched.

    Args:
        directory: A Hugging Face model directory, sharded or not, or a verl FSDP checkpoint; not trusted.
        problems: Every problem found is appended, each naming its file.

    Returns:
        The checkpoint, or ``None`` where problems leave nothing to plan with.
    """
    before = len(problems)
    if not directory.is_dir():
        problems.append(f"no model directory at {directory}")
        return None
    shards = None if (directory / INDEX).is_file() or (directory / SINGLE).is_file() else find_shards(directory)
    if shards is not None:
        return _open_shards(directory, shards.absolute(), problems)
    config = _read_json(directory / "config.json", problems)
    # Workers may run in another directory.
    files, index = _list_files(directory.absolute(), problems)
    tensors: dict[str, TensorInfo] = {}
    for path in files:
        try:
            header = read_header(path)
        except LipoError as error:
            problems.append(str(error))
            continue
        except OSError as error:
            problems.append(f"cannot read {path}: {error.strerror}")
            continue
        if index is not None:
            _compare_with_index(path, header, index, problems)
        _add(tensors, header, problems)
    if len(problems) > before:
        return None
    return Checkpoint(directory, tuple(files), tensors, config, index is not None)


def _add(tensors: dict[str, TensorInfo], header: Mapping[str, TensorInfo], problems: list[str]) -> None:
    for info in header.values():
        name = common_name(info.name)
        if name in tensors:
            problems.append(f"tensor '{info.name}' in {info.file} is also in {tensors[name].file}")
        tensors[name] = info


def _open_shards(directory: Path, folder: Path, problems: list[str]) -> Checkpoint | None:
    """Open what verl saved during training; beside the shards it writes the config of the model."""
    before = len(problems)
    config = _read_json(folder / "huggingface" / "config.json", problems)
    tensors: dict[str, TensorInfo] = {}
    try:
        files, header = read_shards(folder)
        _add(tensors, header, problems)
    except LipoError as error:
        problems.append(str(error))
    except OSError as error:
        problems.append(f"cannot read {folder}: {error}")
    if len(problems) > before:
        return None
    return Checkpoint(directory, tuple(files), tensors, config, has_index=False)


def _read_json(path: Path, problems: list[str]) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text("utf-8"))
        if isinstance(data, dict):
            return data
        problems.append(f"{path} does not hold a mapping")
    except FileNotFoundError:
        problems.append(f"{path} is missing")
    except (OSError, ValueError, RecursionError) as error:
        problems.append(f"cannot read {path}: {error}")
    return {}


def _list_files(directory: Path, problems: list[str]) -> tuple[list[Path], dict[str, str] | None]:
    """Return the files and, where there is one, the index: tensor name to file name."""
    if (directory / INDEX).is_file():
        weight_map = _read_json(directory / INDEX, problems).get("weight_map")
        if not isinstance(weight_map, dict) or not all(isinstance(v, str) for v in weight_map.values()):
            problems.append(f"{directory / INDEX} has no weight_map of tensor names to file names")
            return [], {}
        names = sorted(set(weight_map.values()))
        for name in names:
            if not _is_plain_name(name):
                problems.append(f"{directory / INDEX} points outside its folder: {name!r}")
            elif not (directory / name).is_file():
                problems.append(f"{directory / name} is missing but listed in {INDEX}")
        return [directory / n for n in names if _is_plain_name(n) and (directory / n).is_file()], weight_map
    if (directory / SINGLE).is_file():
        return [directory / SINGLE], None
    problems.append(_why_no_weights(directory))
    return [], None


def _is_plain_name(name: str) -> bool:
    return name.endswith(".safetensors") and "/" not in name and "\\" not in name and "\0" not in name


def _why_no_weights(directory: Path) -> str:
    if (directory / "huggingface" / SINGLE).is_file() or (directory / "huggingface" / INDEX).is_file():
        return f"{directory} has no safetensors weights; {directory / 'huggingface'} has: give that path"
    steps = sorted(directory.glob("global_step_*"), key=lambda path: (len(path.name), path.name))
    if steps:
        return f"{directory} is a verl training; give one of its checkpoints, e.g. {steps[-1]}"
    if any(directory.glob("*.bin")):
        return f"{directory} has pickled weights only, which are not loaded; save the model as safetensors"
    return f"{directory} has neither {SINGLE} nor {INDEX}"


def _compare_with_index(path: Path, header: dict[str, TensorInfo], index: dict[str, str], problems: list[str]) -> None:
    listed = {name for name, file in index.items() if file == path.name}
    for name in sorted(listed - header.keys()):
        problems.append(f"tensor '{name}' is not in {path}, where the index puts it")
    for name in sorted(header.keys() - listed):
        problems.append(f"tensor '{name}' in {path} is not in the index")
