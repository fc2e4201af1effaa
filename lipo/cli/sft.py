"""``lipo sft``: supervised training with verl from a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from lipo.cli._recipes import find_model, find_recipe
from lipo.cli._training import exporting, fetch_places, training_bar

if TYPE_CHECKING:
    from lipo.sft import StepLoss


def sft(
    recipe: Annotated[Path, typer.Argument(help="YAML file, such as recipes/tiny/video_sft.yaml.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="Hydra overrides, such as optim.lr=1e-5.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check and print the composed configuration only.")
    ] = False,
) -> None:
    """Train on worked answers with verl's own trainer; the same command continues an interrupted run."""
    from omegaconf import OmegaConf

    from lipo.sft import check, compose, planned_steps, train

    config = compose(find_recipe(recipe), overrides or [], find_model)
    fetch_places(config, ("model.path", "data.train_files", "data.val_files"))
    check(config)
    console = Console()
    if dry_run:
        typer.echo(OmegaConf.to_yaml(config))
        return
    name, steps = str(config.trainer.experiment_name), planned_steps(config)
    with exporting(config, console), training_bar(name, steps, "starting verl", console) as bar:

        def on_step(entry: StepLoss) -> None:
            bar.note(f"step {entry.step}: loss {entry.loss:.4f}", entry.step)

        model = train(config, on_step, bar.wait)
    console.print(f"checkpoints: {config.trainer.default_local_dir}", markup=False, highlight=False, soft_wrap=True)
    if model:
        console.print(f"model: {model}", markup=False, highlight=False, soft_wrap=True)
