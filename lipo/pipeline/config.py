"""What a pipeline file says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lipo.common import option


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
        None, help="Trainings at a time; null for as many as the cluster's GPUs allow, and one without a cluster.",
        minimum=1,
    )  # fmt: skip
