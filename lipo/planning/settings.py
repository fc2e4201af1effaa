"""What of a training's configuration decides memory and time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lipo.common import LipoError

if TYPE_CHECKING:
    from omegaconf import DictConfig

_DTYPE_BYTES = {"fp32": 4, "float32": 4, "bf16": 2, "bfloat16": 2, "fp16": 2, "float16": 2}


@dataclass(frozen=True)
class Settings:
    """Numbers from a composed configuration; lengths in tokens, batches in prompts."""

    nodes: int
    gpus_per_node: int
    lora_rank: int
    master_bytes: int
    """Bytes per trained weight."""
    param_offload: bool
    optimizer_offload: bool
    offload_policy: bool
    """Whether FSDP2 itself keeps shards in main memory and brings them layer by layer."""
    checkpointing: bool
    fused_kernels: bool
    packed: bool
    """Without padding."""
    tokens_per_gpu: int
    """Of the largest micro-batch."""
    reference: bool
    batch: int
    mini_batch: int
    responses: int
    prompt_length: int
    response_length: int
    rollout_bytes: int
    """Bytes per weight in vLLM."""
    tensor_parallel: int
    utilization: float
    max_num_seqs: int
    max_model_len: int
    sleeps: bool
    """Whether vLLM gives its memory back while the actor trains."""
    bucket: int
    """Bytes of the buffer of weight synchronisation."""
    dynamic_sampling: bool
    """Whether groups of equal rewards are dropped and others drawn in their place."""
    steps: int
    checkpoints: int

    @property
    def gpus(self) -> int:
        """In all."""
        return self.nodes * self.gpus_per_node


def read_settings(config: DictConfig) -> Settings:
    """Read a composed configuration.

    Args:
        config: From :func:`lipo.training.compose`.

    Returns:
        The numbers.

    Raises:
        LipoError: Not FSDP, or the number of steps is left to verl.
    """
    actor, rollout, model = (config.actor_rollout_ref[part] for part in ("actor", "rollout", "model"))
    if actor.strategy not in ("fsdp", "fsdp2"):
        raise LipoError(f"actor.strategy is '{actor.strategy}'", "estimates exist for fsdp and fsdp2 only")
    if not config.trainer.total_training_steps:
        raise LipoError("trainer.total_training_steps is not set", "set it: the time depends on it")
    longest = config.data.max_prompt_length + config.data.max_response_length
    tokens = actor.ppo_max_token_len_per_gpu
    if not actor.use_dynamic_bsz:
        tokens = longest * (actor.ppo_micro_batch_size_per_gpu or actor.ppo_mini_batch_size)
    return Settings(
        nodes=config.trainer.nnodes,
        gpus_per_node=config.trainer.n_gpus_per_node,
        lora_rank=model.lora_rank,
        master_bytes=_DTYPE_BYTES[actor.fsdp_config.model_dtype or "fp32"],
        param_offload=actor.fsdp_config.param_offload or actor.fsdp_config.offload_policy,
        optimizer_offload=actor.fsdp_config.optimizer_offload or actor.fsdp_config.offload_policy,
        offload_policy=actor.fsdp_config.offload_policy,
        checkpointing=model.enable_gradient_checkpointing,
        fused_kernels=model.use_fused_kernels,
        packed=model.use_remove_padding,
        tokens_per_gpu=tokens,
        reference=actor.use_kl_loss or config.algorithm.use_kl_in_reward,
        batch=config.data.train_batch_size,
        mini_batch=actor.ppo_mini_batch_size,
        responses=rollout.n,
        prompt_length=config.data.max_prompt_length,
        response_length=config.data.max_response_length,
        rollout_bytes=_DTYPE_BYTES[rollout.dtype],
        tensor_parallel=rollout.tensor_model_parallel_size,
        utilization=rollout.gpu_memory_utilization,
        max_num_seqs=rollout.max_num_seqs,
        max_model_len=rollout.max_model_len or longest,
        sleeps=rollout.free_cache_engine,
        bucket=rollout.checkpoint_engine.update_weights_bucket_megabytes * 2**20,
        dynamic_sampling=bool(config.algorithm.filter_groups and config.algorithm.filter_groups.enable),
        steps=config.trainer.total_training_steps,
        checkpoints=config.trainer.max_actor_ckpt_to_keep or 1 + config.trainer.total_training_steps // max(
            1, config.trainer.save_freq if config.trainer.save_freq > 0 else config.trainer.total_training_steps
        ),
    )  # fmt: skip
