"""``lipo demo``: the pipeline of the tiny model, from generated data to the report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from lipo.cli.run import read_pipeline, run_pipeline


def demo(
    recipe: Annotated[Path, typer.Argument(help="YAML file of the pipeline.")] = Path("recipes/tiny/demo.yaml"),
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value of the pipeline.")] = None,
) -> None:
    """Train three tiny experts with LIPO, merge them with AMM, evaluate, write a report: about 20 minutes."""
    console = Console()
    console.print("lipo demo: data → three trainings → merge → evaluation → report", highlight=False)
    run_pipeline(read_pipeline(recipe, overrides or []), console)
