"""``lipo demo``: data, three trainings, a merge, an evaluation and a report, each continued where it stopped."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from lipo.cli._recipes import find_model, find_recipe
from lipo.common import LipoError, load_yaml, option

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from eval import EvalConfig
    from merge import MergeConfig

_MEMORY_NEEDED = 8 * 2**30


@dataclass(frozen=True)
class DemoConfig:
    """The pipeline; paths are relative to the working directory."""

    out: Path = option(help="Directory of everything the pipeline writes; its data go to out/data.")
    training: list[Path] = option(help="Training recipes, run one after the other.")
    merge: Path = option(help="Merge recipe.")
    eval: Path = option(help="Evaluation recipe.")
    data_options: list[str] = option(factory=list, help="Arguments of recipes.tiny.make_data, such as --test=32.")
    training_overrides: list[str] = option(factory=list, help="Hydra overrides of every training recipe.")
    merge_overrides: list[str] = option(factory=list, help="Overrides of the merge recipe.")
    eval_overrides: list[str] = option(factory=list, help="Overrides of the evaluation recipe.")


def demo(
    recipe: Annotated[Path, typer.Argument(help="YAML file of the pipeline.")] = Path("recipes/tiny/demo.yaml"),
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value of the pipeline.")] = None,
) -> None:
    """Train three tiny experts with LIPO, merge them with AMM, evaluate, write a report: about 20 minutes."""
    console = Console()
    started = time.monotonic()
    console.print("lipo demo: data → three trainings → merge → evaluation → report", highlight=False)
    config = load_yaml(DemoConfig, find_recipe(recipe), overrides or [])
    with _stage(console, "data"):
        _make_data(config)
    trainings, merging, evaluation = _check_everything(config)
    for training in trainings:
        _train(training, console)
    _merge(merging, console)
    _evaluate(evaluation, trainings, console)
    console.print(f"done in {(time.monotonic() - started) / 60:.1f} minutes", highlight=False)


@contextmanager
def _stage(console: Console, name: str) -> Iterator[None]:
    start = time.monotonic()
    console.print(f"[bold]{name}[/]", highlight=False)
    yield
    console.print(f"[bold]{name}[/] finished in {time.monotonic() - start:.0f} s", highlight=False)


def _make_data(config: DemoConfig) -> None:
    command = [sys.executable, "-m", "recipes.tiny.make_data", "--out", str(config.out / "data"), *config.data_options]
    result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (ours, no shell)
    if result.returncode:
        last = (result.stderr.strip().splitlines() or ["no message"])[-1]
        raise LipoError(f"the data could not be made: {last}", "correct data_options or free disk space")


def _check_everything(config: DemoConfig) -> tuple[list[DictConfig], MergeConfig, EvalConfig]:
    """Read every recipe before the first long stage, so that a mistake in the last one costs nothing."""
    import psutil

    from eval import EvalConfig
    from lipo.cli._training import compose_and_check
    from merge import MergeConfig

    available = psutil.virtual_memory().available
    if available < _MEMORY_NEEDED:
        raise LipoError(
            f"training needs 8 GB of free memory; {available / 2**30:.1f} GB are free", "close other programs"
        )
    trainings = [compose_and_check(path, config.training_overrides) for path in config.training]
    merging = load_yaml(MergeConfig, find_recipe(config.merge), config.merge_overrides)
    evaluation = load_yaml(EvalConfig, find_recipe(config.eval), config.eval_overrides)
    evaluation = replace(evaluation, models={label: find_model(path) for label, path in evaluation.models.items()})
    return trainings, merging, evaluation


def _train(config: DictConfig, console: Console) -> None:
    from lipo.cli._training import run_with_progress

    with _stage(console, f"training {config.trainer.experiment_name} ({config.algorithm.adv_estimator})"):
        run_with_progress(config, console)


def _merge(config: MergeConfig, console: Console) -> None:
    from lipo.cli.merge import print_summary, run_with_bar

    with _stage(console, f"merge ({config.method})"):
        print_summary(run_with_bar(config, console), console)


def _evaluate(config: EvalConfig, trainings: list[DictConfig], console: Console) -> None:
    from eval.report import write_report
    from lipo.cli.evaluate import print_results, run_with_progress
    from lipo.training import read_history

    curves = {}
    for training in trainings:
        history = read_history(Path(training.trainer.default_local_dir) / "metrics")
        curves[str(training.trainer.experiment_name)] = [
            {"step": entry.step, "response_length": entry.response_length, "score": entry.score} for entry in history
        ]
    with _stage(console, "evaluation"):
        results = run_with_progress(config, console)
        report = write_report(results, config.out, training_curves=curves)
    print_results(results, report, console)
