"""Checks a composed configuration of supervised training before anything is started."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from lipo.common import LipoError
from lipo.common.storage import require_local
from lipo.training.model import require_model
from lipo.training.preflight import require_room


def check(config: DictConfig) -> None:
    """Refuse a run that would fail after its start, or end without having trained.

    Args:
        config: From :func:`lipo.sft.compose`.

    Raises:
        LipoError: A model that is neither here nor on the Hub; a data file that is missing, unreadable or without
            verl's columns; fewer examples than a batch; more steps than the epochs have; several nodes; nothing to
            export; a full disk.
    """
    require_model(config.model.path, "model.path")
    if config.trainer.nnodes != 1:
        raise LipoError(
            f"trainer.nnodes is {config.trainer.nnodes}; lipo sft starts the processes of one node",
            "start verl.trainer.sft_trainer with torchrun on every node, with what --dry-run prints",
        )
    examples = {key: sum(_count(file, f"data.{key}", config) for file in _files(config, key)) for key in _KEYS}
    _check_steps(config, examples["train_files"])
    _check_export(config)


_KEYS = ("train_files", "val_files")


def _files(config: DictConfig, key: str) -> list[str]:
    files = config.data[key]
    if files is None:
        return []
    return [files] if isinstance(files, str) else list(files)


def _count(file: str, where: str, config: DictConfig) -> int:
    import pyarrow
    import pyarrow.parquet

    require_local(file, where)
    if not Path(file).is_file():
        raise LipoError(f"no data file {file} ({where})", "create it or correct the path")
    try:
        metadata = pyarrow.parquet.read_metadata(file)
        columns = metadata.schema.to_arrow_schema().names
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise LipoError(f"{file} ({where}) is not a parquet file: {error}", "write it as parquet") from error
    if config.data.messages_key not in columns:
        raise LipoError(
            f"{file} ({where}) has no column {config.data.messages_key}, only {', '.join(columns)}",
            "write verl's columns: messages (role, content), and images or videos",
        )
    return int(metadata.num_rows)


def _check_steps(config: DictConfig, examples: int) -> None:
    batch, processes = int(config.data.train_batch_size), int(config.trainer.n_gpus_per_node)
    if batch % processes:
        raise LipoError(
            f"data.train_batch_size is {batch}, which {processes} processes cannot share", "take a multiple of them"
        )
    if examples // processes < batch // processes:
        raise LipoError(
            f"{examples} examples are less than a batch of {batch} (data.train_batch_size)", "take a smaller batch"
        )
    steps = config.trainer.total_training_steps
    possible = steps_per_epoch(config, examples) * int(config.trainer.total_epochs)
    if steps is not None and steps > possible:
        raise LipoError(
            f"trainer.total_training_steps is {steps}, but {config.trainer.total_epochs} epochs have {possible}; verl "
            "would end without saving",
            "raise trainer.total_epochs",
        )


def steps_per_epoch(config: DictConfig, examples: int) -> int:
    """Steps that verl's trainer takes per epoch; what does not fill a batch is left out."""
    processes = int(config.trainer.n_gpus_per_node)
    return (examples // processes) // (int(config.data.train_batch_size) // processes)


def _check_export(config: DictConfig) -> None:
    require_room(Path(config.trainer.default_local_dir), config.model.path)
    contents = config.checkpoint.save_contents
    if OmegaConf.select(config, "lipo.export") and "hf_model" not in contents:
        raise LipoError(
            f"checkpoint.save_contents is {list(contents)}, nothing that lipo.export could use", "add hf_model to it"
        )
