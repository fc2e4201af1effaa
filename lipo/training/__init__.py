"""Training with verl's own ``main_ppo``: compose the configuration, check it, run it, export the expert."""

from lipo.training.compose import compose
from lipo.training.metrics import StepMetrics, read_history
from lipo.training.preflight import check
from lipo.training.run import train

__all__ = ["StepMetrics", "check", "compose", "read_history", "train"]
