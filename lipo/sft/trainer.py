"""The training process: verl's ``SFTTrainer``, also on a CPU.

torchrun --standalone --nproc-per-node=1 -m lipo.sft.trainer --config-path RUN --config-name config
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import hydra

if TYPE_CHECKING:
    from omegaconf import DictConfig


@hydra.main(config_path="pkg://verl.trainer.config", config_name="sft_trainer_engine", version_base=None)
def main(config: DictConfig) -> None:
    """Train, as ``verl.trainer.sft_trainer`` does."""
    import torch
    from verl.trainer.sft_trainer import SFTTrainer, run_sft

    if config.trainer.device != "cpu":
        run_sft(config)
        return
    # verl's own start asks for "cpu:gloo,cpu:gloo" here, which torch refuses (verl/utils/distributed.py:63).
    torch.distributed.init_process_group("gloo")
    SFTTrainer(config).fit()
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
