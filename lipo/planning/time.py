"""Time of one step, from operations and bytes: an estimate to choose hardware by, not a promise."""

from __future__ import annotations

from dataclasses import dataclass

from lipo.planning.hardware import Gpu
from lipo.planning.memory import Memory
from lipo.planning.settings import Settings
from lipo.planning.shape import ModelShape

TRAINING_USE = 0.35
"""Share of the GPU's operations that packed training with checkpointing reaches."""
GENERATION_USE = 0.5
"""Share of the memory bandwidth that decoding reaches; the slowest responses leave GPUs idle at the end."""
BUS = 20e9
"""Bytes per second between main memory and a GPU, for weights that stay there."""
FIXED = 15.0
"""Seconds a step for waking, synchronising, rewards and logging."""
OVERSAMPLING = 2.5
"""Responses that dynamic sampling draws for one that it keeps; 2.2 to 3.5 in the trainings of docs/evidence."""


@dataclass(frozen=True)
class StepTime:
    """Seconds of one step.

    Attributes:
        generation: Writing the responses.
        log_probs: Forward passes of the actor and of the reference.
        update: Forward and backward passes.
    """

    generation: float
    log_probs: float
    update: float

    @property
    def total(self) -> float:
        """Of the whole step."""
        return self.generation + self.log_probs + self.update + FIXED


def estimate_time(
    shape: ModelShape,
    settings: Settings,
    gpu: Gpu,
    memory: Memory,
    mean_prompt: float,
    mean_response: float,
    oversampling: float = OVERSAMPLING,
) -> StepTime:
    """Estimate a step's time.

    Args:
        shape: The model.
        settings: The training.
        gpu: The hardware.
        memory: From :func:`lipo.planning.estimate_memory`; its cache bounds the responses written at once.
        mean_prompt: Tokens, images included.
        mean_response: Tokens.
        oversampling: Responses written for one that is trained on, where dynamic sampling drops groups; elsewhere
            every response is trained on.

    Returns:
        Seconds; infinite where not a single response fits into the cache.
    """
    responses = settings.batch * settings.responses
    tokens = responses * (mean_prompt + mean_response)
    operations = tokens * shape.computing
    if shape.vision:
        operations += responses * mean_prompt * shape.vision.merge**2 * shape.vision.parameters
    rate = settings.gpus * gpu.flops * TRAINING_USE
    forward = 2 * operations / rate
    # Backward costs two forwards, checkpointing one more.
    update = forward * (4 if settings.checkpointing else 3)
    if settings.offload_policy:
        micro_batches = tokens / settings.gpus / settings.tokens_per_gpu
        crossing = micro_batches * shape.parameters * settings.master_bytes / settings.gpus / BUS
        forward, update = forward + crossing, update + 2 * crossing
    engines = settings.gpus / settings.tensor_parallel
    drawn = oversampling if settings.dynamic_sampling else 1
    written = responses * drawn
    fitting = min(settings.max_num_seqs, memory.kv_tokens / (mean_prompt + mean_response), written / engines)
    if fitting < 1:
        return StepTime(float("inf"), forward, update)
    # Each decoding step reads the weights once, and every response's cache.
    cached = fitting * (mean_prompt + mean_response / 2) * shape.kv_bytes
    read = (shape.computing * settings.rollout_bytes + cached) / settings.tensor_parallel
    steps = mean_response * written / engines / fitting
    prefill = 2 * settings.batch * drawn * mean_prompt * shape.computing / rate
    generation = steps * read / (gpu.bandwidth * GENERATION_USE) + prefill
    return StepTime(generation, forward * (2 if settings.reference else 1), update)
