"""``lipo score``: scores stored answers anew, without a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def score(
    out: Annotated[Path, typer.Argument(help="Directory of a 'lipo eval'.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="key=value of its configuration, such as benchmarks.math.scorer=auto.")
    ] = None,
) -> None:
    """Score the stored answers of an evaluation anew, without a model; write scores, results and report again.

    For a changed scorer, corrected ground truths, other claims, or a judge:
    lipo score runs/eval judge.base_url=http://127.0.0.1:8000/v1 judge.model=NAME
    """
    import eval as evaluation
    from lipo.cli.evaluate import finish, show_progress

    console = Console()
    with show_progress(console) as update:
        results = evaluation.score(out, overrides or [], update)
    finish(results, console)
