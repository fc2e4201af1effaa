"""Memory of one GPU in each phase of a step, of a machine, and on disk.

The parts that follow from shapes are exact: weights, gradients, moments, caches. The rest are estimates with a stated
basis: activations count the tensors that autograd keeps, and the constants below stand for what libraries take.
"""

from __future__ import annotations

from dataclasses import dataclass

from lipo.planning.settings import Settings
from lipo.planning.shape import ModelShape

CONTEXT = 1.5e9
"""CUDA context, cuBLAS and NCCL buffers of a training process."""
SLEEPING = 2.0e9
"""What vLLM keeps while it sleeps: its own context and CUDA graphs."""
FRAGMENTATION = 1.1
"""Allocated over needed, for what comes and goes; with expandable segments."""
FUSED_LOGITS = 1.0e9
"""Pieces of logits that fused kernels hold."""


@dataclass(frozen=True)
class Phase:
    """One phase of a step on one GPU.

    Attributes:
        name: ``generation``, ``synchronisation`` or ``update``.
        parts: What takes memory → bytes.
    """

    name: str
    parts: dict[str, float]

    @property
    def total(self) -> float:
        """Bytes at the peak."""
        return sum(self.parts.values())


@dataclass(frozen=True)
class Memory:
    """What a training needs.

    Attributes:
        phases: Of one GPU.
        kv_tokens: Tokens that vLLM's cache can hold on one GPU; what is left of its share, so possibly none.
        host: Bytes of main memory on one machine.
        disk: Bytes of all checkpoints that are kept, and the exported expert.
    """

    phases: tuple[Phase, ...]
    kv_tokens: float
    host: float
    disk: float

    @property
    def peak(self) -> Phase:
        """The phase that needs the most."""
        return max(self.phases, key=lambda phase: phase.total)


def activation_bytes(shape: ModelShape, tokens: int, checkpointing: bool) -> float:
    """Tensors that autograd keeps for the decoder, in bfloat16.

    A layer keeps per token: 2 inputs of the norms and their float32 copies, q, k, v and the attention's output, the
    two inputs of the projections, and 4 tensors of the MLP's width (gate, up, its activation, their product). With
    checkpointing only one layer's are there at a time, beside every layer's input.
    """
    h = shape.hidden
    layer = tokens * (2 * (2 * h + 2 * h + h + 2 * shape.kv_width + h + h) + 4 * 2 * h + 2 * 4 * shape.intermediate)
    if not checkpointing:
        return float(shape.layers * layer)
    return float(shape.layers * tokens * 2 * h + layer)


def vision_bytes(shape: ModelShape, image_tokens: int, checkpointing: bool) -> float:
    """The same for the vision tower, which works on ``merge²`` patches per image token."""
    tower = shape.vision
    if tower is None:
        return 0.0
    patches = image_tokens * tower.merge**2
    layer = patches * (2 * 9 * tower.hidden + 2 * 4 * tower.intermediate + 8 * tower.hidden)
    if not checkpointing:
        return float(tower.depth * layer)
    return float(tower.depth * patches * 2 * tower.hidden + layer)


def estimate_memory(shape: ModelShape, settings: Settings, gpu_memory: float) -> Memory:
    """Estimate a training's memory.

    Args:
        shape: The model.
        settings: The training.
        gpu_memory: Bytes of one GPU, of which vLLM takes its configured share.

    Returns:
        Peak of every phase. A phase that needs more than ``gpu_memory`` does not fit.
    """
    trained = shape.adapters(settings.lora_rank) if settings.lora_rank else shape.parameters
    everything = shape.parameters + (trained if settings.lora_rank else 0)
    weights = everything * settings.master_bytes / settings.gpus
    gradients = trained * settings.master_bytes / settings.gpus
    moments = 2 * trained * settings.master_bytes / settings.gpus

    rollout_weights = shape.parameters * settings.rollout_bytes / settings.tensor_parallel
    share = settings.utilization * gpu_memory
    # Activations of a prefill, sampling and CUDA graphs, before the cache gets what is left.
    working = 2.0e9 + (0 if settings.rollout_bytes == 4 else 0.5e9)
    cache = max(0.0, share - rollout_weights - working)

    resident = {
        "training weights": 0.0 if settings.param_offload else weights,
        "Adam's moments": 0.0 if settings.optimizer_offload else moments,
        "context of training": CONTEXT,
    }
    vllm = {"vLLM: weights": rollout_weights, "vLLM: working memory": working, "vLLM: key-value cache": cache}
    generation = Phase("generation", {**vllm, **resident})
    asleep = {"vLLM asleep": SLEEPING} if settings.sleeps else {"vLLM awake": share}
    largest = shape.embedding * settings.master_bytes
    # With an offload policy the shards never stay on the GPU: layers come and go.
    away = settings.offload_policy
    synchronisation = Phase(
        "synchronisation",
        {
            "training weights": 0.0 if away else weights,
            "Adam's moments": resident["Adam's moments"],
            "largest tensor, whole": float(largest),
            "buffer": float(2 * settings.bucket),
            "vLLM: weights": rollout_weights,
            "vLLM: working memory": working,
            "context of training": CONTEXT,
        },
    )
    update = Phase(
        "update",
        {
            "training weights": 0.0 if away else weights,
            "gradients": 0.0 if away else gradients,
            "Adam's moments": 0.0 if away else moments,
            **_passing(shape, settings, trained),
            **asleep,
            "context of training": CONTEXT,
        },
    )
    return Memory(
        phases=(generation, synchronisation, update),
        kv_tokens=cache / (shape.kv_bytes / settings.tensor_parallel),
        host=_host(shape, settings, weights, moments),
        disk=_disk(shape, settings, trained),
    )


def _passing(shape: ModelShape, settings: Settings, trained: int) -> dict[str, float]:
    """What a forward and backward pass needs beside the state."""
    tokens = settings.tokens_per_gpu
    images = tokens * settings.prompt_length // (settings.prompt_length + settings.response_length)
    activations = activation_bytes(shape, tokens, settings.checkpointing)
    activations += vision_bytes(shape, images, settings.checkpointing)
    # Logits in bfloat16, their float32 copy, log-softmax, and the gradient.
    logits = FUSED_LOGITS if settings.fused_kernels else tokens * shape.vocabulary * (2 + 4 + 4 + 4)
    if settings.gpus == 1:
        # FSDP of one rank still casts each unit to bfloat16.
        gathered = 2.0 * (shape.embedding + 2 * shape.layer)
    else:
        gathered = 2.0 * (shape.embedding + 2 * shape.layer) + (2.0 * shape.embedding if not shape.tied else 0.0)
    gathered_gradients = 2.0 * (shape.embedding + shape.layer) if trained == shape.parameters else 0.0
    return {
        "activations": activations * FRAGMENTATION,
        "logits": logits * FRAGMENTATION,
        "gathered layers": (gathered + gathered_gradients) * FRAGMENTATION,
    }


def _host(shape: ModelShape, settings: Settings, weights: float, moments: float) -> float:
    """Main memory of one machine: what is offloaded, the reference, the export, and the processes themselves."""
    offloaded = (weights if settings.param_offload else 0.0) + (moments if settings.optimizer_offload else 0.0)
    reference = 4.0 * shape.parameters / settings.gpus if settings.reference and not settings.lora_rank else 0.0
    processes = 12e9 + 6e9 * settings.gpus_per_node
    return (offloaded + reference) * settings.gpus_per_node + 4.0 * shape.parameters + processes


def _disk(shape: ModelShape, settings: Settings, trained: int) -> float:
    whole = 4.0 * shape.parameters
    checkpoint = settings.master_bytes * shape.parameters + 2 * settings.master_bytes * trained + whole
    # One more than are kept: the new one is written before the oldest goes.
    return (settings.checkpoints + 1) * checkpoint + whole
