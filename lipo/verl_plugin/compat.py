"""Every change to verl's or the CPU environment's behaviour, each with the upstream line that forces it.

Corrections marked CPU act only where ``VERL_PLATFORM=cpu`` was chosen explicitly; on accelerators they do nothing.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import os
import warnings
from pathlib import Path
from typing import Any

from packaging.version import Version

from lipo.verl_plugin._post_import import when_imported

TESTED_VERL = ("0.9.1", "0.9.1")
"""Oldest and newest verl release that the tests have run against."""


def verl_version() -> Version:
    """Version of the installed verl distribution."""
    return Version(importlib.metadata.version("verl"))


def warn_if_untested() -> None:
    """Warn when verl is older or newer than what the tests have run against."""
    oldest, newest = map(Version, TESTED_VERL)
    if not oldest <= Version(verl_version().base_version) <= newest:
        tested = TESTED_VERL[0] if oldest == newest else f"{TESTED_VERL[0]} to {TESTED_VERL[1]}"
        warnings.warn(f"lipo was tested with verl {tested}; this is verl {verl_version()}", stacklevel=2)


def cpu_was_chosen() -> bool:
    """Whether the user (or ``lipo train``) asked for the CPU; never concluded from a missing accelerator.

    The driver of a GPU cluster often has no accelerator of its own: concluding would switch the whole job to the CPU.
    """
    return os.environ.get("VERL_PLATFORM", "").strip().lower() == "cpu"


def apply_when_ready() -> None:
    """Arrange for every correction that this process may need."""
    when_imported("verl.utils.tensordict_utils", _fix_equal_length_mrope)
    when_imported("verl.utils.tracking", _log_statistics)
    when_imported("verl.trainer.ppo.v1.trainer_base", _log_rewards)
    when_imported("transfer_queue.interface", _keep_queues_apart)
    when_imported("verl.workers.rollout.vllm_rollout.vllm_rollout", _keep_senders_apart)
    when_imported("verl.workers.rollout.vllm_rollout.vllm_async_server", _keep_receivers_apart)
    when_imported("verl.experimental.agent_loop.agent_loop", _pass_times_in_verl)
    when_imported("vllm.model_executor.models.qwen2_5_vl", _keep_times_in_vllm)
    if not cpu_was_chosen():
        return
    from lipo.verl_plugin import cpu_platform

    cpu_platform.register()
    # verl/workers/engine/fsdp/transformer_impl.py:1143 registers the FSDP engines for cuda and npu only;
    # verl/workers/engine/base.py:404 reads these two to choose the registration.
    os.environ.setdefault("VERL_ENGINE_DEVICE", "cuda")
    os.environ.setdefault("VERL_ENGINE_VENDOR", "nvidia")
    _answer_for_vllm_cpu()
    when_imported("verl.utils.distributed", _name_gloo_once)
    when_imported("verl.utils.fsdp_utils", _do_not_pin_memory)
    when_imported("verl.trainer.ppo.v1.replay_buffer", _poll_often)


def _fix_equal_length_mrope(tensordict_utils: Any) -> None:
    """Rebuild nested M-RoPE position ids whose rows are all equally long (all devices; verl 0.9.x).

    verl/utils/tensordict_utils.py:910 sets ``_ragged_idx = 2`` on a tensor that TransferQueue stacked along
    dimension 1 when all (4, L) rows had one L; ``unbind`` then raises "split_with_sizes expects split_sizes to sum
    exactly to".
    """
    if verl_version() >= Version("0.11"):
        return
    original = tensordict_utils.maybe_fix_3d_position_ids

    def maybe_fix_3d_position_ids(data: Any) -> None:
        ids = data["position_ids"] if "position_ids" in data.keys() else None  # noqa: SIM118 (a TensorDict)
        if ids is not None and ids.is_nested and ids.dim() == 3:
            values, offsets = ids.values(), ids.offsets()
            total = int(offsets[-1])
            if total != values.shape[-1] or (len(offsets) > 2 and values.shape[0] == total):
                rows = [row.contiguous() for row in values.split(offsets.diff().tolist(), dim=0)]
                data["position_ids"] = tensordict_utils.nested_tensor_from_tensor_list(rows, ragged_idx=2)
                return
        original(data)

    tensordict_utils.maybe_fix_3d_position_ids = maybe_fix_3d_position_ids


def _log_statistics(tracking: Any) -> None:
    """Add the estimators' statistics to what verl's trainers log, whichever trainer and backend.

    No way leads from an advantage estimator to the logger: verl/trainer/ppo/ray_trainer.py:187 and
    v1/trainer_base.py:1743 take nothing but tensors from it. All trainers log through ``Tracking.log``
    (verl/utils/tracking.py:191) in the process that estimates the advantages. Where a release has another signature,
    nothing is changed and a warning says what is lost.
    """
    original = tracking.Tracking.log
    if list(inspect.signature(original).parameters)[:3] != ["self", "data", "step"]:
        warnings.warn(f"lipo: verl {verl_version()} logs in another way; metrics under lipo/ are lost", stacklevel=2)
        return

    def log(self: Any, data: Any, step: Any, *args: Any, **kwargs: Any) -> Any:
        from lipo.verl_plugin.adapter import drain

        return original(self, {**data, **drain()}, step, *args, **kwargs)

    tracking.Tracking.log = log


def _log_rewards(trainer_base: Any) -> None:
    """Log the means of what the reward function returned beside the score, at every training step.

    verl/trainer/ppo/v1/trainer_base.py:1868 leaves them out; only validation (line 1126) reads them. So accuracy,
    format or reflections would be known where there is validation, not where there is training.
    """
    from lipo.verl_plugin.reward_metrics import reward_metrics

    original = trainer_base.PPOTrainer._compute_metrics
    if list(inspect.signature(original).parameters)[:3] != ["self", "batch", "metrics"]:
        warnings.warn(f"lipo: verl {verl_version()} logs in another way; metrics under reward/ are lost", stacklevel=2)
        return

    def _compute_metrics(self: Any, batch: Any, metrics: Any, *args: Any, **kwargs: Any) -> None:
        original(self, batch, metrics, *args, **kwargs)
        real = [key for key, tag in zip(batch.keys, batch.tags, strict=True) if not tag.get("is_padding", False)]
        data = trainer_base.tq.kv_batch_get(keys=real, partition_id=batch.partition_id, select_fields=["extra_fields"])
        metrics.update(reward_metrics(data.pop("extra_fields").tolist()))

    trainer_base.PPOTrainer._compute_metrics = _compute_metrics


def _keep_queues_apart(interface: Any) -> None:
    """Give every training its own queue of rollouts, also where several share a Ray cluster.

    transfer_queue/interface.py:119 and :201 look for and make one named actor for a whole cluster: a second training
    would take the first one's rollouts for its own, and lose the queue when the first one ends.
    """
    import ray

    if inspect.getsource(interface).count('namespace="transfer_queue"') != 2:
        told = "trainings that share a Ray cluster may take each other's rollouts"
        warnings.warn(f"lipo: this TransferQueue names its controller in another way; {told}", stacklevel=2)
        return

    def own(namespace: str) -> str:
        # Each driver has a job of Ray's, which its actors and tasks share.
        if not ray.is_initialized():
            ray.init()
        return f"{namespace}-{ray.get_runtime_context().get_job_id()}"

    class Ray:
        def __getattr__(self, name: str) -> Any:
            return getattr(ray, name)

        @staticmethod
        def get_actor(name: str, namespace: str) -> Any:
            return ray.get_actor(name, namespace=own(namespace))

    class Controller:
        @staticmethod
        def options(*, namespace: str, **options: Any) -> Any:
            return original.options(namespace=own(namespace), **options)

    original = interface.TransferQueueController
    interface.ray, interface.TransferQueueController = Ray(), Controller


_SOCKET_NAMES = {
    "vllm_rollout.py": "-zmq-{job_id}-replica-{self.replica_rank}-",
    "vllm_async_server.py": 'os.environ["VERL_RAY_JOB_ID"] = ray.get_runtime_context().get_job_id()',
    "utils.py": 'job_id = os.environ.get("VERL_RAY_JOB_ID", "0")',
}


def _keep_senders_apart(vllm_rollout: Any) -> None:
    """Give every training its own socket for new weights, also where each has a Ray cluster of its own.

    verl/workers/rollout/vllm_rollout/vllm_rollout.py:141 and vllm_async_server.py:143 name it by Ray's job, which is
    01000000 for the first job of every cluster. Of two trainings on one machine that send weights at one time, one
    then removes the other's socket (bucketed_weight_transfer.py:173), and both wait for ever.
    """
    if not _sockets_are_named_by_job(vllm_rollout):
        return
    original = vllm_rollout.ServerAdapter.__init__

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        original(self, *args, **kwargs)
        self.zmq_handle = self.zmq_handle.replace("-replica-", f"-{_node()}-replica-")

    vllm_rollout.ServerAdapter.__init__ = __init__


def _keep_receivers_apart(vllm_async_server: Any) -> None:
    """The other end of :func:`_keep_senders_apart`: vLLM's processes inherit the name from their server."""
    if not _sockets_are_named_by_job(vllm_async_server):
        return
    original = vllm_async_server.vLLMHttpServer.__init__

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        original(self, *args, **kwargs)
        os.environ["VERL_RAY_JOB_ID"] += f"-{_node()}"

    vllm_async_server.vLLMHttpServer.__init__ = __init__


def _sockets_are_named_by_job(module: Any) -> bool:
    """Both ends look at the same files: one that changed the name alone would wait for ever, too."""
    folder = Path(module.__file__).parent
    named = all(line in (folder / file).read_text("utf-8") for file, line in _SOCKET_NAMES.items())
    if not named:
        told = "trainings on one machine, each with a Ray cluster of its own, may wait for each other's weights"
        warnings.warn(f"lipo: verl {verl_version()} names its sockets in another way; {told}", stacklevel=2)
    return named


def _node() -> str:
    """Begin of the id of Ray's node, which no other cluster has; verl puts both ends of a socket on one node."""
    import ray

    # A socket's path may have 107 characters.
    return ray.get_runtime_context().get_node_id()[:16]


def _pass_times_in_verl(agent_loop: Any) -> None:
    """Give the actor the positions of a clip's frames by their times: see :mod:`lipo.verl_plugin.video_positions`."""
    from lipo.verl_plugin.video_positions import pass_times_in_verl

    pass_times_in_verl(agent_loop)


def _keep_times_in_vllm(qwen2_5_vl: Any) -> None:
    """Give the rollout the same positions: see :mod:`lipo.verl_plugin.video_positions`."""
    from lipo.verl_plugin.video_positions import keep_times_in_vllm

    keep_times_in_vllm(qwen2_5_vl)


def _poll_often(replay_buffer: Any) -> None:
    """CPU: look for finished rollouts every 0.1 s.

    verl/trainer/ppo/v1/replay_buffer.py:144 waits 2 s between two looks, most of a small model's step. A sampler of
    one's own could wait less, but trainer_base.py:165 then ignores ``algorithm.filter_groups``.
    """
    original = replay_buffer.ReplayBuffer.__init__

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        original(self, *args, **kwargs)
        self.poll_interval = min(self.poll_interval, 0.1)

    replay_buffer.ReplayBuffer.__init__ = __init__


def _answer_for_vllm_cpu() -> None:
    """CPU: let the distribution ``vllm-cpu`` answer to the name ``vllm``.

    verl/third_party/vllm/__init__.py:30 and workers/rollout/vllm_rollout/__init__.py:27 ask for ``vllm`` and refuse
    to go on without it; vllm/platforms/__init__.py:28 itself forms the same ``+cpu`` version.
    """
    original = importlib.metadata.version

    def version(distribution_name: str) -> str:
        try:
            return original(distribution_name)
        except importlib.metadata.PackageNotFoundError:
            if distribution_name != "vllm":
                raise
            return original("vllm-cpu") + "+cpu"

    importlib.metadata.version = version


def _name_gloo_once(distributed: Any) -> None:
    """CPU: ask for one gloo backend.

    verl/utils/distributed.py:89 builds "cpu:gloo,cpu:gloo", which torch rejects as a duplicate device type.
    """
    original = distributed.initialize_global_process_group_ray

    def initialize_global_process_group_ray(timeout_second: int | None = None, backend: str | None = None) -> None:
        original(timeout_second=timeout_second, backend=backend or "cpu:gloo")

    distributed.initialize_global_process_group_ray = initialize_global_process_group_ray


def _do_not_pin_memory(fsdp_utils: Any) -> None:
    """CPU: offload without pinned memory.

    verl/workers/engine/fsdp/transformer_impl.py:462 pins memory for the reference policy, which torch refuses
    without an accelerator.
    """
    policy = fsdp_utils.CPUOffloadPolicy

    def cpu_offload_policy(pin_memory: bool = False) -> Any:
        return policy(pin_memory=False)

    fsdp_utils.CPUOffloadPolicy = cpu_offload_policy
