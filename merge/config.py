"""The recipe of a merge: what ``lipo merge`` reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lipo.common import option

DTYPES = {"float32": "F32", "bfloat16": "BF16", "float16": "F16"}


@dataclass(frozen=True)
class Rule:
    """What to do with the tensors whose name a regular expression finds; the first rule that matches decides."""

    match: str = option(
        help="Regular expression, searched in the tensor's name, e.g. '^visual\\.' or 'mlp\\.down_proj'."
    )
    use: str = option("method", help="method (the merge's own), base (keep it), average, or any other method's name.")
    options: Mapping[str, Any] = option(
        factory=dict, help="Options for these tensors, on top of the merge's own where the method is the same."
    )


@dataclass(frozen=True)
class MergeConfig:
    """One merge; relative paths are relative to the working directory."""

    base: Path = option(help="Model directory that every expert was trained from; with lipo merge also a URL.")
    experts: Mapping[str, Path] = option(
        help="Model directories of the experts, by name, in any order; URLs as for the base."
    )
    out: Path = option(help="Directory to make; exists only once the merge is complete. With lipo merge also a URL.")
    method: str = option("amm", help="Merge method for the tensors that no rule covers.")
    options: Mapping[str, Any] = option(factory=dict, help="Options of the method; see the method's own table.")
    rules: tuple[Rule, ...] = option((), help="Exceptions by tensor name.")
    dtype: Literal["float32", "bfloat16", "float16"] = option(
        "float32", help="Type of the output's weights; float32 keeps the small deltas of RL that bfloat16 rounds away."
    )
    workers: int | None = option(None, help="Tensors merged at a time; by default one per core or GPU.", minimum=1)
    address: str | None = option(
        None, help="Ray cluster to use, e.g. auto; local starts worker processes; null stays in this process."
    )
    device: Literal["cpu", "cuda"] = option("cpu", help="Where the arithmetic runs: cores, or GPUs, one tensor each.")
    seed: int = option(0, help="Seed of methods that draw random numbers.", minimum=0)
