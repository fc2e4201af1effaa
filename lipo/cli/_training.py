"""Runs a training recipe with a progress bar, or plain lines where the output is no terminal."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from lipo.cli._recipes import find_model, find_recipe
from lipo.cli._storage import fetch
from lipo.common.storage import require_local, url_of

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from lipo.training import StepMetrics

_SECONDS_PER_LINE = 15.0


def compose_and_check(recipe: Path, overrides: Sequence[str]) -> DictConfig:
    """Compose a training recipe and refuse what cannot work."""
    from lipo.training import check, compose

    config = fetch_inputs(compose(find_recipe(recipe), overrides, find_model))
    check(config)
    return config


def fetch_inputs(config: DictConfig) -> DictConfig:
    """Replace URLs of model and data by local copies; verl reads ``hdfs://`` itself.

    Args:
        config: Composed; changed in place.

    Returns:
        The same.

    Raises:
        LipoError: An output is a URL, or a copy fails.
    """
    from omegaconf import OmegaConf

    for key in ("trainer.default_local_dir", "lipo.export"):
        require_local(OmegaConf.select(config, key) or "", key)
    for key in ("actor_rollout_ref.model.path", "data.train_files", "data.val_files"):
        value = OmegaConf.select(config, key)
        if OmegaConf.is_list(value):
            OmegaConf.update(config, key, [_fetched(file) for file in value])
        elif value:
            OmegaConf.update(config, key, _fetched(value))
    return config


def _fetched(place: str) -> str:
    return str(fetch(place)) if url_of(place) and not place.startswith("hdfs://") else place


def run_with_progress(config: DictConfig, console: Console, cancelled: Event | None = None) -> Path | None:
    """Train with a bar per run; see :func:`lipo.training.train`.

    Args:
        config: Composed and checked.
        console: For the bar.
        cancelled: Ends the training with a ``KeyboardInterrupt`` when set, for one that runs in a thread.
    """
    from lipo.training import train

    name, total = str(config.trainer.experiment_name), config.trainer.total_training_steps
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
    )
    printed, begun = time.monotonic(), time.monotonic()
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        row = bars.add_task(f"train {name}", total=total, note="starting verl and vLLM")

        def note(text: str, completed: int | None) -> None:
            nonlocal printed
            bars.update(row, note=text, completed=completed)
            if not console.is_terminal:
                printed = time.monotonic()
                console.print(f"train {name}: {text}", markup=False, highlight=False, soft_wrap=True)

        def on_step(entry: StepMetrics) -> None:
            note(f"step {entry.step}: reward {entry.score:.2f}, {entry.response_length:.0f} tokens", entry.step)

        def on_wait() -> None:
            if cancelled is not None and cancelled.is_set():
                raise KeyboardInterrupt
            if not console.is_terminal and time.monotonic() - printed > _SECONDS_PER_LINE:
                note(f"running since {time.monotonic() - begun:.0f} s", None)

        return train(config, on_step, on_wait)
