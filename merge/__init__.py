"""Model merging: AMM and its peers, streamed tensor by tensor, distributed over Ray, resumable.

``run`` does everything; ``build_plan`` only looks; ``verify`` loads the result. Methods are in :mod:`merge.methods`.
"""

from merge._run import Progress, run
from merge.config import MergeConfig, Rule
from merge.plan import Plan, build_plan, check
from merge.verify import verify

__all__ = ["MergeConfig", "Plan", "Progress", "Rule", "build_plan", "check", "run", "verify"]
