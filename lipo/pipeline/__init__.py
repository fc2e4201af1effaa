"""Stages as a graph: each is skipped while its inputs are unchanged, and continued where it was interrupted.

Knows nothing of training, merging or evaluation; ``lipo.cli`` makes the stages.
"""

from lipo.pipeline.config import PipelineConfig, Profile, with_profile
from lipo.pipeline.hashes import HashCache
from lipo.pipeline.scheduler import Event, run
from lipo.pipeline.stage import Stage
from lipo.pipeline.state import State, Status, examine

__all__ = [
    "Event",
    "HashCache",
    "PipelineConfig",
    "Profile",
    "Stage",
    "State",
    "Status",
    "examine",
    "run",
    "with_profile",
]
