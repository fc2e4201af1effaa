"""Runs a training recipe with a progress bar, or plain lines where the output is no terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from lipo.cli._recipes import find_model, find_recipe
from lipo.cli._storage import fetch, require_there, send
from lipo.common.storage import Destination, require_local, url_of

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from lipo.training import StepMetrics

_SECONDS_PER_LINE = 15.0
_INPUTS = ("actor_rollout_ref.model.path", "data.train_files", "data.val_files")


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
        LipoError: The run's directory is a URL, or a copy fails.
    """
    fetch_places(config, _INPUTS)
    return config


def input_places(config: DictConfig, keys: Sequence[str] = _INPUTS) -> list[str]:
    """List the models and data files that a composed configuration names.

    Args:
        config: Composed.
        keys: Keys of paths or lists of paths.
    """
    from omegaconf import OmegaConf

    values = [OmegaConf.select(config, key) for key in keys]
    lists = [value if OmegaConf.is_list(value) else [value] for value in values]
    return [place for places in lists for place in places if place]


def fetch_places(config: DictConfig, inputs: Sequence[str]) -> None:
    """Replace URLs among the inputs by local copies, in place, and refuse one as the run's directory.

    Args:
        config: Composed.
        inputs: Keys of models and data.

    Raises:
        LipoError: The run's directory is a URL, or a copy fails.
    """
    from omegaconf import OmegaConf

    require_local(config.trainer.default_local_dir, "trainer.default_local_dir")
    require_there(input_places(config, inputs))
    for key in inputs:
        value = OmegaConf.select(config, key)
        if OmegaConf.is_list(value):
            OmegaConf.update(config, key, [_fetched(file) for file in value])
        elif value:
            OmegaConf.update(config, key, _fetched(value))


def _fetched(place: str) -> str:
    return str(fetch(place)) if url_of(place) and not place.startswith("hdfs://") else place


@contextmanager
def exporting(config: DictConfig, console: Console) -> Iterator[None]:
    """Let the block export into the run's directory where ``lipo.export`` is a URL, and send that when it ends well.

    Args:
        config: Composed and checked; changed in place.
        console: Told when all has arrived.

    Raises:
        LipoError: Before the block: the place holds something else, or cannot be written. After it: the store refuses.
    """
    from omegaconf import OmegaConf

    url = url_of(OmegaConf.select(config, "lipo.export") or "")
    if url is None:
        yield
        return
    destination = Destination(url, Path(config.trainer.default_local_dir) / "export")
    destination.claim()
    OmegaConf.update(config, "lipo.export", str(destination.directory))
    yield
    send(destination)
    console.print(f"{url} is whole", markup=False, highlight=False, soft_wrap=True)


def run_with_progress(config: DictConfig, console: Console, cancelled: Event | None = None) -> Path | None:
    """Train with a bar per run; see :func:`lipo.training.train`.

    Args:
        config: Composed and checked.
        console: For the bar.
        cancelled: Ends the training with a ``KeyboardInterrupt`` when set, for one that runs in a thread.
    """
    from lipo.training import train

    name, total = str(config.trainer.experiment_name), config.trainer.total_training_steps
    with training_bar(name, total, "starting verl and vLLM", console) as bar:

        def on_step(entry: StepMetrics) -> None:
            bar.note(f"step {entry.step}: reward {entry.score:.2f}, {entry.response_length:.0f} tokens", entry.step)

        def on_wait() -> None:
            if cancelled is not None and cancelled.is_set():
                raise KeyboardInterrupt
            bar.wait()

        return train(config, on_step, on_wait)


class TrainingBar:
    """A bar, or plain lines where the output is no terminal."""

    def __init__(self, name: str, bars: Progress, row: TaskID) -> None:
        """Start the clock."""
        self._name, self._bars, self._row = name, bars, row
        self._printed = self._begun = time.monotonic()

    def note(self, text: str, completed: int | None) -> None:
        """Show what has happened."""
        self._bars.update(self._row, note=text, completed=completed)
        if not self._bars.console.is_terminal:
            self._printed = time.monotonic()
            self._bars.console.print(f"train {self._name}: {text}", markup=False, highlight=False, soft_wrap=True)

    def wait(self) -> None:
        """Show from time to time that it is running."""
        if not self._bars.console.is_terminal and time.monotonic() - self._printed > _SECONDS_PER_LINE:
            self.note(f"running since {time.monotonic() - self._begun:.0f} s", None)


@contextmanager
def training_bar(name: str, total: int | None, note: str, console: Console) -> Iterator[TrainingBar]:
    """Show the progress of a training while the block runs.

    Args:
        name: Of the training.
        total: Its steps; None if they are not known.
        note: What is shown at first.
        console: Where.
    """
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        yield TrainingBar(name, bars, bars.add_task(f"train {escape(name)}", total=total, note=note))
