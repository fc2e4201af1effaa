"""``lipo doctor``: can this machine train?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from lipo.cli._recipes import find_model, find_recipe

_STYLE = {"ok": "green", "note": "yellow", "fail": "bold red"}


def doctor(
    recipe: Annotated[Path, typer.Argument(help="Training recipe to check for.")] = Path("recipes/tiny/math.yaml"),
) -> None:
    """Say in plain words whether training would start on this machine (about a minute); exit status 1 if not."""
    from lipo.doctor import examine

    console = Console(highlight=False, soft_wrap=True)
    failures = 0
    with console.status("checking; Ray and vLLM take a while …"):
        for finding in examine(find_recipe(recipe), find_model):
            failures += finding.level == "fail"
            console.print(Text(f"{finding.level:>5}  ", style=_STYLE[finding.level]) + Text(finding.what, style=""))
            if finding.fix:
                console.print(Text("       fix: ", style="bold") + Text(finding.fix, style=""))
    if failures:
        console.print(f"\nTraining would not start: {failures} {'check' if failures == 1 else 'checks'} failed.")
        raise SystemExit(1)
    console.print("\nTraining would start on this machine.")
