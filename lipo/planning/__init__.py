"""Whether a training fits its GPUs and how long it takes, from parameter counts; starts and loads nothing."""

from lipo.planning.advice import Advice, advise
from lipo.planning.hardware import GPUS, Gpu, find_gpu
from lipo.planning.memory import Memory, Phase, estimate_memory
from lipo.planning.settings import Settings, read_settings
from lipo.planning.shape import KNOWN, ModelShape, read_shape
from lipo.planning.time import StepTime, estimate_time

__all__ = [
    "GPUS",
    "KNOWN",
    "Advice",
    "Gpu",
    "Memory",
    "ModelShape",
    "Phase",
    "Settings",
    "StepTime",
    "advise",
    "estimate_memory",
    "estimate_time",
    "find_gpu",
    "read_settings",
    "read_shape",
]
