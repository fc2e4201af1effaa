"""A replay buffer that carries the estimators' statistics to the logger; for ``trainer.v1.sampler.custom_sampler``.

verl has no way from an advantage estimator to its logger, but what a sampler returns beside the batch is logged.
"""

from __future__ import annotations

from typing import Any

from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer

from lipo.verl_plugin.adapter import drain


class LipoReplayBuffer(ReplayBuffer):
    """verl's own synchronous replay buffer with ``lipo/*`` metrics, polled every 0.1 s.

    The advantages of a step are estimated after its batch was sampled: ``lipo/*`` tells of the step before.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Accept whatever verl passes."""
        super().__init__(*args, **kwargs)
        # The built-in 2 s (replay_buffer.py:144) would take most of a small model's step.
        self.poll_interval = 0.1

    def sample(self, global_steps: int, partition_id: str, batch_size: int) -> tuple[Any, dict]:
        """Sample as verl does and add the statistics of the previous training batch."""
        batch, metrics = super().sample(global_steps, partition_id, batch_size)
        if partition_id != "val":
            metrics = metrics | drain()
        return batch, metrics
