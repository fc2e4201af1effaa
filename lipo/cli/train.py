"""``lipo train``: reinforcement learning with verl from a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from lipo.cli._training import compose_and_check, exporting, run_with_progress


def train(
    recipe: Annotated[Path, typer.Argument(help="YAML file, such as recipes/tiny/math.yaml.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Hydra overrides, such as algorithm.adv_estimator=grpo.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check and print the composed configuration only.")
    ] = False,
) -> None:
    """Train with verl's own trainer and vLLM rollouts; the same command continues an interrupted run."""
    from omegaconf import OmegaConf

    config = compose_and_check(recipe, overrides or [])
    console = Console()
    if dry_run:
        typer.echo(OmegaConf.to_yaml(config))
        return
    with exporting(config, console):
        expert = run_with_progress(config, console)
    console.print(f"checkpoints: {config.trainer.default_local_dir}", markup=False, highlight=False, soft_wrap=True)
    if expert:
        console.print(f"expert: {expert}", markup=False, highlight=False, soft_wrap=True)
