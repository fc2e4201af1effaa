"""``lipo run``: a whole pipeline, of which each stage is skipped while its inputs are unchanged."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lipo.cli._recipes import find_recipe
from lipo.cli._stages import Recipes, Stages, check_recipes, data_stage, read_recipes
from lipo.common import LipoError, load_yaml, only_one
from lipo.pipeline import Event, HashCache, PipelineConfig, State, examine, with_profile
from lipo.pipeline import run as run_stages

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from lipo.pipeline import Status

_MEMORY_NEEDED = 8 * 2**30
_COLOURS = {"done": "green", "to do": "cyan", "unfinished": "cyan", "changed": "yellow", "damaged": "red"}


def run(
    recipe: Annotated[Path, typer.Argument(help="YAML file of the pipeline, such as recipes/tiny/demo.yaml.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="key=value of the pipeline, such as out=runs/second.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check, and show where every stage stands.")] = False,
) -> None:
    """Run data, trainings, merge, evaluation and report as one graph.

    A stage is skipped while the hashes of its inputs and outputs are unchanged; the same command continues an
    interrupted one. Results of changed inputs are kept under another name.
    """
    config = read_pipeline(recipe, overrides or [])
    console = Console()
    if dry_run:
        show(config, console)
        return
    run_pipeline(config, console)


def read_pipeline(recipe: Path, overrides: Sequence[str]) -> PipelineConfig:
    """Read a pipeline file and apply its profile."""
    return with_profile(load_yaml(PipelineConfig, find_recipe(recipe), overrides))


def run_pipeline(config: PipelineConfig, console: Console) -> None:
    """Bring every stage up to date, and print the results."""
    started = time.monotonic()
    recipes = read_recipes(config)
    config.out.mkdir(parents=True, exist_ok=True)
    with only_one(config.out / "pipeline.lock", f"the pipeline in {config.out}"):
        hashes = HashCache(config.out / "hashes.json")
        state = State(config.out / "pipeline.json", hashes)
        news = _News(console)
        run_stages(data_stage(config, hashes), state, news)
        check_recipes(recipes)
        left = _left(recipes, examine(Stages(recipes, hashes, console).all(), state))
        _require_room(left)
        _require_memory(left)
        slots = config.parallel or _slots(config.address, left)
        # Two live displays at once would overwrite each other: with several trainings, plain lines.
        shown = console if slots == 1 else Console(file=console.file, force_terminal=False, soft_wrap=True)
        stages = Stages(recipes, hashes, shown)
        run_stages(stages.all(), state, news, slots)
    if recipes.evaluation:
        from lipo.cli.evaluate import print_results

        print_results(stages.results(), recipes.evaluation.out / "report.html", console)
    console.print(f"done in {(time.monotonic() - started) / 60:.1f} minutes", highlight=False)


def show(config: PipelineConfig, console: Console) -> None:
    """Print where every stage stands."""
    recipes = read_recipes(config)
    # Nothing is written, not even a cache.
    hashes = HashCache(config.out / "hashes.json", read_only=True)
    data, state = data_stage(config, hashes), State(config.out / "pipeline.json", hashes)
    if all(found.word == "done" for found in examine(data, state).values()):
        check_recipes(recipes)
    stages = [*data, *Stages(recipes, hashes, console, tuple(stage.name for stage in data)).all()]
    statuses = examine(stages, state)
    _require_room(_left(recipes, statuses))
    table = Table("stage", "state", "why")
    for name, found in statuses.items():
        table.add_row(escape(name), f"[{_COLOURS.get(found.word, 'dim')}]{found.word}[/]", escape(found.reason))
    console.print(table)


class _News:
    """Prints what happens to the stages."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __call__(self, event: Event) -> None:
        name = f"[bold]{escape(event.stage)}[/]"
        texts = {
            "started": name,
            "finished": f"{name} finished in {event.seconds:.0f} s",
            "skipped": f"{name} unchanged, skipped",
            "set aside": f"{name} set aside: {escape(event.detail)}",
            "failed": f"{name} failed: {escape(event.detail)}",
        }
        self._console.print(texts[event.what], highlight=False, soft_wrap=True)


def _left(recipes: Recipes, statuses: Mapping[str, Status]) -> list[DictConfig]:
    """Trainings that are not done."""
    return [training for training in recipes.trainings if statuses[Stages.name(training)].word != "done"]


def _require_room(trainings: Sequence[DictConfig]) -> None:
    from lipo.training.preflight import require_room

    for training in trainings:
        require_room(Path(training.trainer.default_local_dir), training.actor_rollout_ref.model.path)


def _require_memory(trainings: Sequence[DictConfig]) -> None:
    import psutil

    available = psutil.virtual_memory().available
    if available < _MEMORY_NEEDED and any(training.trainer.device == "cpu" for training in trainings):
        raise LipoError(
            f"training needs 8 GB of free memory; {available / 2**30:.1f} GB are free", "close other programs"
        )


def _slots(address: str | None, trainings: Sequence[DictConfig]) -> int:
    """Trainings that fit beside each other: one without a cluster, else by GPUs."""
    if address is None or len(trainings) < 2:
        return 1
    import ray

    from lipo.common.local_ray import reach

    try:
        reach(address)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        gpus = ray.cluster_resources().get("GPU", 0.0)
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        raise LipoError(f"no Ray cluster at '{address}': {error}", "correct 'address'") from error
    finally:
        ray.shutdown()
    return fitting([t.trainer.nnodes * t.trainer.n_gpus_per_node for t in trainings], gpus)


def fitting(needed: Sequence[int], available: float) -> int:
    """Count how many trainings may run at once, whichever come together.

    Args:
        needed: GPUs of each training.
        available: GPUs of the cluster.

    Returns:
        At least 1: a training that does not fit at all says so itself.

    Example:
        >>> fitting([4, 2, 2], 6)
        2
    """
    largest = sorted(needed, reverse=True)
    return max([1, *(n for n in range(1, len(largest) + 1) if sum(largest[:n]) <= available)])
