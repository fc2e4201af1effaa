"""Files of results: figures as JSON; table and picture from the JSON alone. And those that they come from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lipo.common import LipoError, atomic_write

Page = Callable[[dict[str, Any]], str]


def read_rows(file: Path) -> list[dict[str, Any]]:
    """Read a file with one JSON object per line: scores of ``lipo eval``, verl's rollouts."""
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def write_figures(stem: Path, figures: dict[str, Any]) -> None:
    """Write ``<stem>.json``."""
    with atomic_write(stem.with_suffix(".json")) as file:
        json.dump(figures, file, indent=1)
        file.write("\n")


def write_pages(stem: Path, markdown: Page, picture: Page) -> None:
    """Write ``<stem>.md`` and ``<stem>.svg``."""
    source = stem.with_suffix(".json")
    if not source.is_file():
        raise LipoError(f"no results at {source}", "run the study without --render first")
    figures = json.loads(source.read_text("utf-8"))
    for suffix, page in ((".md", markdown), (".svg", picture)):
        with atomic_write(stem.with_suffix(suffix)) as file:
            file.write(page(figures))
        print(stem.with_suffix(suffix), flush=True)
