"""Model merging: AMM and its peers, streamed tensor by tensor, distributed over Ray, resumable.

``run`` does everything; ``build_plan`` only looks; ``verify`` loads the result. Methods are in :mod:`merge.methods`.
"""

import importlib
from typing import TYPE_CHECKING, Any

from merge._start import Progress, run
from merge.config import MergeConfig, Rule
from merge.verification import verify

if TYPE_CHECKING:
    from merge.plan import Plan, build_plan, check

__all__ = ["MergeConfig", "Plan", "Progress", "Rule", "build_plan", "check", "run", "verify"]

# These need torch, which takes longer to load than many a merge takes; a recipe can be read without. None may be named
# like a module of this package, whose import would take its place.
_LAZY = {"Plan": "merge.plan", "build_plan": "merge.plan", "check": "merge.plan"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'merge' has no attribute '{name}'")
    return getattr(importlib.import_module(_LAZY[name]), name)
