"""What to change so that a training fits: each proposal is checked by the same estimate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from lipo.planning.memory import estimate_memory
from lipo.planning.settings import Settings
from lipo.planning.shape import ModelShape

_ACTOR = "actor_rollout_ref.actor"
_MOST = 3


@dataclass(frozen=True)
class Advice:
    """A change that makes it fit.

    Attributes:
        overrides: Hydra overrides.
        peak: Bytes of one GPU with them.
    """

    overrides: tuple[str, ...]
    peak: float


def fits(shape: ModelShape, settings: Settings, gpu_memory: float) -> bool:
    """Whether every phase fits, and vLLM can write at least one response of full length."""
    memory = estimate_memory(shape, settings, gpu_memory)
    return memory.peak.total <= gpu_memory and memory.kv_tokens >= settings.max_model_len


def advise(shape: ModelShape, settings: Settings, gpu_memory: float) -> list[Advice]:
    """Find the smallest changes after which a training fits.

    Args:
        shape: The model.
        settings: A training that does not fit.
        gpu_memory: Bytes of one GPU.

    Returns:
        Proposals, the least drastic first; empty if only more or larger GPUs, or a smaller model, would help.
    """
    found = []
    for changed, overrides in _base_changes(settings):
        for smaller, more in _smaller(changed):
            if (overrides or more) and fits(shape, smaller, gpu_memory):
                peak = estimate_memory(shape, smaller, gpu_memory).peak.total
                found.append(Advice((*overrides, *more), peak))
                break
        if len(found) == _MOST:
            break
    return found


def _smaller(settings: Settings) -> Iterator[tuple[Settings, list[str]]]:
    """The same with smaller micro-batches, then with a smaller share for vLLM."""
    longest = settings.prompt_length + settings.response_length
    for tokens in sorted({settings.tokens_per_gpu, max(longest, settings.tokens_per_gpu // 2), longest}, reverse=True):
        for share in (settings.utilization, 0.5, 0.4, 0.3):
            if tokens > settings.tokens_per_gpu or share > settings.utilization:
                continue
            overrides = []
            if tokens != settings.tokens_per_gpu:
                overrides += [f"{_ACTOR}.use_dynamic_bsz=true", f"{_ACTOR}.ppo_max_token_len_per_gpu={tokens}"]
            if share != settings.utilization:
                overrides.append(f"actor_rollout_ref.rollout.gpu_memory_utilization={share}")
            yield replace(settings, tokens_per_gpu=tokens, utilization=share), overrides


def _base_changes(settings: Settings) -> Iterator[tuple[Settings, list[str]]]:
    """Ever more drastic."""
    changed, overrides = settings, list[str]()
    yield changed, overrides
    if not settings.checkpointing:
        changed = replace(changed, checkpointing=True)
        overrides = [*overrides, "actor_rollout_ref.model.enable_gradient_checkpointing=true"]
        yield changed, overrides
    if not settings.fused_kernels:
        changed = replace(changed, fused_kernels=True)
        overrides = [*overrides, "actor_rollout_ref.model.use_fused_kernels=true"]
        yield changed, overrides
    if not settings.optimizer_offload:
        changed = replace(changed, optimizer_offload=True)
        overrides = [*overrides, f"{_ACTOR}.fsdp_config.optimizer_offload=true"]
        yield changed, overrides
    if not settings.param_offload:
        changed = replace(changed, param_offload=True)
        overrides = [*overrides, f"{_ACTOR}.fsdp_config.param_offload=true"]
        yield changed, overrides
    if not settings.lora_rank:
        changed = replace(changed, lora_rank=64)
        overrides = [*overrides, "actor_rollout_ref.model.lora_rank=64", "actor_rollout_ref.model.lora.merge=true"]
        yield changed, overrides
    if not settings.offload_policy:
        changed = replace(changed, offload_policy=True)
        overrides = [o for o in overrides if "_offload=" not in o] + [f"{_ACTOR}.fsdp_config.offload_policy=true"]
        yield changed, overrides
