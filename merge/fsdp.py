"""verl's FSDP checkpoints: finds the bytes of every tensor in the shards of all ranks, in full precision.

verl's own converter rounds to bfloat16 (verl 0.9.1, fsdp_model_merger.py:187), which loses much of what reinforcement
learning changed. The shards are pickles, so they are opened with torch's restricted loader (``weights_only=True``),
which builds tensors and nothing else, and as fake tensors: only the places of the data are learnt, none is read.
"""

from __future__ import annotations

import logging
import math
import re
import warnings
from pathlib import Path
from typing import Any

import torch

from lipo.common import LipoError
from merge.reader import TORCH_DTYPES, Extent, TensorInfo

_SHARD = re.compile(r"model_world_size_(\d+)_rank_0\.pt")
_NAMES = {dtype: name for name, dtype in TORCH_DTYPES.items()}


def find_shards(directory: Path) -> Path | None:
    """Return the folder with verl's shards: ``directory``, or ``actor`` in it; ``None`` where there are none."""
    for folder in (directory, directory / "actor"):
        if folder.is_dir() and any(_SHARD.fullmatch(path.name) for path in folder.iterdir()):
            return folder
    return None


def read_shards(folder: Path) -> tuple[list[Path], dict[str, TensorInfo]]:
    """Locate the tensors of a checkpoint.

    Args:
        folder: verl's ``global_step_N/actor``; not trusted.

    Returns:
        The files that hold the model, and tensor name to place. Of replicated copies (HSDP) the first is taken.

    Raises:
        LipoError: A rank's file is missing, cut short, needs more than tensors to be built, has a layout other than
            rows over ranks, or holds only an adapter.
    """
    found = [int(match[1]) for path in folder.iterdir() if (match := _SHARD.fullmatch(path.name))]
    if len(found) != 1:
        raise LipoError(f"{folder} holds shards of runs with {found} ranks", "keep those of one run")
    first = _load(folder / f"model_world_size_{found[0]}_rank_0.pt")
    ranks = max((_ranks(tensor) for tensor in first.values()), default=1)
    files = [folder / f"model_world_size_{found[0]}_rank_{rank}.pt" for rank in range(ranks)]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise LipoError(f"{folder} has no {', '.join(missing)}", "copy the shards of all ranks into it")
    if any("lora_" in name for name in first):
        raise LipoError(f"{folder} holds a LoRA adapter", "merge it into its model with PEFT's merge_and_unload first")
    shards = [first, *(_load(file) for file in files[1:])]
    for file, shard in zip(files, shards, strict=True):
        if shard.keys() != first.keys():
            raise LipoError(f"{file} has other tensors than {files[0].name}", "take all shards from the same step")
    return files, {name: _join(name, files, [shard[name] for shard in shards]) for name in first}


def _load(file: Path) -> dict[str, Any]:
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.distributed.tensor import DTensor  # noqa: F401 - makes the restricted loader know it

    logger = logging.getLogger("torch.distributed.device_mesh")
    level = logger.level
    try:
        # It warns that the mesh has no process group; none is needed.
        logger.setLevel(logging.ERROR)
        with FakeTensorMode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # Anything may be wrong with an untrusted file.
        reason = " ".join(str(error).split())[:200]
        raise LipoError(
            f"{file} cannot be read as tensors alone: {reason}", "copy it again, or export the model as safetensors"
        ) from error
    finally:
        logger.setLevel(level)
    if not isinstance(content, dict) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise LipoError(f"{file} is not a table of tensors", "give the folder that verl wrote, global_step_N/actor")
    return content


def _ranks(tensor: Any) -> int:
    mesh = getattr(tensor, "device_mesh", None)
    return int(mesh.shape[-1]) if mesh is not None else 1


def _join(name: str, files: list[Path], parts: list[Any]) -> TensorInfo:
    """Check that the ranks hold consecutive rows, and list their places."""
    whole = parts[0]
    placements: tuple[Any, ...] = getattr(whole, "placements", ())
    by_rows = len(placements) > 0 and placements[-1].is_shard(0) and all(p.is_replicate() for p in placements[:-1])
    if not by_rows:
        if not all(p.is_replicate() for p in placements):
            raise LipoError(f"tensor '{name}' in {files[0]} is split as {placements}", "export it as safetensors")
        files, parts = files[:1], parts[:1]
    local = [getattr(part, "_local_tensor", part) for part in parts]
    rows = sum(part.shape[0] for part in local) if by_rows else None
    if any(p.shape != whole.shape or p.dtype != whole.dtype for p in parts) or rows not in (None, whole.shape[0]):
        raise LipoError(f"the ranks disagree about tensor '{name}' in {files[0].parent}", "take all from the same step")
    if whole.dtype not in _NAMES:
        raise LipoError(f"tensor '{name}' in {files[0]} is {whole.dtype}", f"use one of {', '.join(_NAMES.values())}")
    extents = tuple(_extent(name, file, part) for file, part in zip(files, local, strict=True))
    return TensorInfo(name, _NAMES[whole.dtype], tuple(whole.shape), extents)


def _extent(name: str, file: Path, part: torch.Tensor) -> Extent:
    storage = part.untyped_storage()
    # Set by torch.load under FakeTensorMode for files in torch's zip format (see torch's notes on serialization).
    place = getattr(storage, "_checkpoint_offset", None)
    if place is None or not part.is_contiguous():
        raise LipoError(f"tensor '{name}' in {file} is not stored row by row", "save it with torch 2 or newer")
    begin = int(place) + int(part.storage_offset()) * part.itemsize
    size = math.prod(part.shape) * part.itemsize
    if begin + size > file.stat().st_size:
        raise LipoError(f"{file} ends within tensor '{name}': it was cut short", "copy it again")
    return Extent(file, begin, size)
