"""Reward for mixtures of data sets: each row's ``data_source`` chooses the task family."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType, ModuleType
from typing import Any

from lipo.common import LipoError
from lipo.common.config import nearest
from reward_fns import counting_yes_no, math, multiple_choice, ocr, structured, video
from reward_fns._options import MathOptions, OcrOptions, RewardOptions, StructuredOptions

FAMILIES: Mapping[str, ModuleType] = MappingProxyType(
    {
        "math": math,
        "structured": structured,
        "ocr": ocr,
        "multiple_choice": multiple_choice,
        "counting_yes_no": counting_yes_no,
        "video": video,
    }
)
"""Task families by name."""

SOURCES: Mapping[str, str] = MappingProxyType(
    {
        **{family: family for family in FAMILIES},
        "tiny/math": "math",
        "tiny/structured": "structured",
        "tiny/ocr": "ocr",
        "hiyouga/geometry3k": "math",
        "gsm8k": "math",
        "mathvista": "math",
        "mathvision": "math",
        "mathverse": "math",
        "wemath": "multiple_choice",
        "mmstar": "multiple_choice",
        "tat-dqa": "structured",
        "wtq": "structured",
        "plotqa": "structured",
        "chartqa": "structured",
        "chartgalaxy": "structured",
        "docvqa": "ocr",
        "ocrbench": "ocr",
        "mme": "counting_yes_no",
        "nextqa": "video",
        "llava-video-178k": "video",
        "tiny/video": "video",
    }
)
"""Task family of each known ``data_source``; ``reward_kwargs.sources`` adds others or overrides."""

_OPTIONS: dict[str, type[RewardOptions]] = {
    "math": MathOptions,
    "structured": StructuredOptions,
    "ocr": OcrOptions,
    "video": video.VideoOptions,
}
_FIELDS = {
    family: frozenset(field.name for field in dataclasses.fields(_OPTIONS.get(family, RewardOptions)))
    for family in FAMILIES
}


def _family(data_source: str, sources: Mapping[str, str] | None) -> str:
    known = {**SOURCES, **(sources or {})}
    if data_source not in known:
        raise LipoError(
            f"no reward is known for data_source '{data_source}'",
            f"add it to reward_kwargs.sources ({nearest(data_source, list(known))})",
        )
    family = known[data_source]
    if family not in FAMILIES:
        raise LipoError(f"reward_kwargs.sources.{data_source} is '{family}'", f"use one of {', '.join(FAMILIES)}")
    return family


def compute_score(
    data_source: str, solution_str: str, ground_truth: Any, extra_info: dict[str, Any] | None = None, **kwargs: Any
) -> dict[str, Any]:
    r"""Score a response for verl: ``reward.custom_reward_function.path=pkg://reward_fns.auto``.

    Args:
        data_source: Chooses the family, by :data:`SOURCES` and ``sources``.
        solution_str: Decoded response of the policy.
        ground_truth: As the family takes it.
        extra_info: As the family takes it.
        **kwargs: ``sources``, a mapping of ``data_source`` to family, and keys of any family's options; each family
            takes the keys it knows.

    Returns:
        ``score``, ``acc``, ``similarity``, ``format``, ``repetition``, ``unparsed``, ``timeout``, ``status``, ``pred``.

    Raises:
        LipoError: Unknown ``data_source`` or family, no ground truth, or an invalid setting.

    Example:
        >>> compute_score("chartqa", "<think>A=8</think>\\boxed{8.1}", 8, tolerance=0.05)["acc"]
        1.0
    """
    sources = kwargs.pop("sources", None)
    family = _family(data_source, sources)
    elsewhere = frozenset[str]().union(*_FIELDS.values()) - _FIELDS[family]
    own = {key: value for key, value in kwargs.items() if key not in elsewhere}
    result: dict[str, Any] = FAMILIES[family].compute_score(data_source, solution_str, ground_truth, extra_info, **own)
    return result
