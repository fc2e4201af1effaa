"""Rewards and answer checks: one well-tested place that both training and evaluation score with.

Each task family is a module with ``compute_score`` (verl's signature) and ``check`` (answer against ground truth):
:mod:`reward_fns.math`, :mod:`reward_fns.structured`, :mod:`reward_fns.ocr`, :mod:`reward_fns.multiple_choice`,
:mod:`reward_fns.counting_yes_no`, :mod:`reward_fns.video`; :mod:`reward_fns.auto` chooses among them by
``data_source``.
"""

from reward_fns._extract import extract_answer
from reward_fns._format import follows_format
from reward_fns._options import MathOptions, OcrOptions, RewardOptions, StructuredOptions
from reward_fns._reflection import Reflection, find_reflections
from reward_fns._repetition import repeated_share
from reward_fns._verdict import Status, Verdict

__all__ = [
    "MathOptions",
    "OcrOptions",
    "Reflection",
    "RewardOptions",
    "Status",
    "StructuredOptions",
    "Verdict",
    "extract_answer",
    "find_reflections",
    "follows_format",
    "repeated_share",
]
