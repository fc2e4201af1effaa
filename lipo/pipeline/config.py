"""What a pipeline file says."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from lipo.common import LipoError, option
from lipo.common.config import nearest


@dataclass(frozen=True)
class Profile:
    """What one kind of hardware changes: paths replace the pipeline's, overrides come after the pipeline's."""

    out: Path | None = option(None, help="Instead of the pipeline's; null keeps it.")
    data: str | None = option(None, help="Instead of the pipeline's; null keeps it.")
    merge: Path | None = option(None, help="Instead of the pipeline's; null keeps it.")
    eval: Path | None = option(None, help="Instead of the pipeline's; null keeps it.")
    data_options: list[str] = option(factory=list, help="Added to the pipeline's.")
    training_overrides: list[str] = option(factory=list, help="Added to the pipeline's.")
    merge_overrides: list[str] = option(factory=list, help="Added to the pipeline's.")
    eval_overrides: list[str] = option(factory=list, help="Added to the pipeline's.")


@dataclass(frozen=True)
class PipelineConfig:
    """The pipeline; paths are relative to the working directory."""

    out: Path = option(help="Directory of the pipeline's state; its data go to out/data.")
    training: list[Path] = option(help="Training recipes; independent of each other.")
    merge: Path | None = option(None, help="Merge recipe; null for a pipeline without a merge.")
    eval: Path | None = option(None, help="Evaluation recipe; null for a pipeline without one.")
    data: str | None = option(
        None, help="Module below recipes that makes the data, e.g. recipes.tiny.make_data; null: the data are there."
    )
    data_options: list[str] = option(factory=list, help="Arguments of the data module, such as --test=32.")
    training_overrides: list[str] = option(factory=list, help="Hydra overrides of every training recipe.")
    merge_overrides: list[str] = option(factory=list, help="Overrides of the merge recipe.")
    eval_overrides: list[str] = option(factory=list, help="Overrides of the evaluation recipe.")
    address: str | None = option(
        None, help="Ray cluster for every stage, e.g. auto; null starts a local Ray for each and stops it again."
    )
    parallel: int | None = option(
        None,
        help="Trainings at a time; null for as many as the cluster's GPUs allow, and one without a cluster.",
        minimum=1,
    )
    profile: str | None = option(None, help="Which of the profiles to use; null for none.")
    profiles: dict[str, Profile] = field(
        default_factory=dict, metadata={"help": "Name to what this hardware changes: the keys above but the last four."}
    )


def with_profile(config: PipelineConfig) -> PipelineConfig:
    """Apply the chosen profile.

    Args:
        config: As read.

    Returns:
        The pipeline on that hardware.

    Raises:
        LipoError: There is no such profile.

    Example:
        >>> small = Profile(training_overrides=["profile=cpu"])
        >>> config = PipelineConfig(Path("runs"), [], training_overrides=["a=1"], profile="cpu",
        ...                         profiles={"cpu": small})
        >>> with_profile(config).training_overrides
        ['a=1', 'profile=cpu']
    """
    if config.profile is None:
        return config
    if config.profile not in config.profiles:
        raise LipoError(f"profile is '{config.profile}'", nearest(config.profile, list(config.profiles)))
    profile = config.profiles[config.profile]
    changes: dict[str, Any] = {}
    for name in (entry.name for entry in fields(Profile)):
        value = getattr(profile, name)
        if isinstance(value, list):
            changes[name] = [*getattr(config, name), *value]
        elif value is not None:
            changes[name] = value
    return replace(config, **changes)
