"""Supervised training with verl's own trainer: the cold start before reinforcement learning, for images and video."""

from lipo.sft.compose import compose
from lipo.sft.preflight import check
from lipo.sft.run import StepLoss, planned_steps, read_losses, train

__all__ = ["StepLoss", "check", "compose", "planned_steps", "read_losses", "train"]
