"""Write the studies' results into the pages that show them.

    python -m recipes.tiny.evidence

Between ``<!-- results: STUDY KIND -->`` and ``<!-- end of results -->`` stands what the study's JSON gives, nothing
written by hand; a test fails where a page says otherwise. STUDY is a file of ``recipes/tiny/studies``, KIND one of
:data:`KINDS`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from lipo.common import LipoError, atomic_write
from lipo.common.config import nearest
from recipes.tiny.merge_study import render as merges
from recipes.tiny.study import render
from recipes.tiny.study.provenance import base_hash

ROOT = Path(__file__).parents[2]
PAGES = (
    "README.md",
    "docs/evidence.md",
    *sorted(f"docs/evidence/{page.name}" for page in (ROOT / "docs/evidence").glob("*.md")),
    "docs/length-control.md",
    "docs/merging.md",
    "docs/video.md",
)
STUDIES = Path(__file__).parent / "studies"

_BLOCK = re.compile(r"(<!-- results: (\w+) (\w+) -->\n).*?(<!-- end of results -->)", re.DOTALL)
Results = dict[str, Any]


def _is_merging(results: Results) -> bool:
    return "models" in results


def _table(results: Results) -> str:
    return merges.table(results) if _is_merging(results) else render.table(results)


def _summary(results: Results) -> str:
    """The table over all tasks, or of the only one."""
    return merges.table(results) if _is_merging(results) else render.table(results, [list(results["tasks"])[-1]])


def _verdicts(results: Results) -> str:
    return merges.verdicts(results) if _is_merging(results) else render.verdicts(results)


def _main_verdicts(results: Results) -> str:
    """The verdicts over all tasks, or on the only one."""
    return merges.verdicts(results) if _is_merging(results) else render.verdicts(results, [list(results["tasks"])[-1]])


def _front(results: Results) -> str:
    """The models on the Pareto front of the last table, by tokens."""
    cells = list(results["tasks"].values())[-1]
    corners = sorted((cell["tokens"]["value"], name) for name, cell in cells.items() if cell["on_front"])
    named = [
        f"`{name}` ({tokens:.1f} tokens, {100 * cells[name]['accuracy']['value']:.1f} %, in "
        f"{100 * cells[name]['front_share']:.0f} % of the bootstrap samples)"
        for tokens, name in corners
    ]
    return f"On the Pareto front, from the briefest: {', '.join(named)}.\n"


KINDS: Mapping[str, Callable[[Results], str]] = {
    "table": _table,
    "summary": _summary,
    "verdicts": _verdicts,
    "main_verdicts": _main_verdicts,
    "training": render.training_tokens,
    "front": _front,
    "scales": merges.by_scale,
    "untuned": merges.untuned_table,
    "made": render.made_with,
}
"""What a block can show, and ``picture``."""


def fill(text: str, page: Path, root: Path = ROOT) -> str:
    """Fill the blocks of one page.

    Args:
        text: Of the page.
        page: Its place below ``root``, for links to pictures.
        root: Of the repository.

    Raises:
        LipoError: A block names a study or a kind that does not exist.
    """

    def block(match: re.Match[str]) -> str:
        opening, study, kind, closing = match.groups()
        return f"{opening}{_content(study, kind, page, root).rstrip()}\n{closing}"

    return _BLOCK.sub(block, text)


def _content(study: str, kind: str, page: Path, root: Path) -> str:
    recipe = STUDIES / f"{study}.yaml"
    if not recipe.is_file():
        raise LipoError(f"{page} shows study '{study}'", nearest(study, [p.stem for p in STUDIES.glob("*.yaml")]))
    if kind not in (*KINDS, "picture"):
        raise LipoError(f"{page} shows '{kind}' of a study", nearest(kind, [*KINDS, "picture"]))
    settings = yaml.safe_load(recipe.read_text("utf-8"))
    source = root / f"{settings['results']}.json"
    if not source.is_file():
        return f"*No results of `{study}` yet.*"
    results = json.loads(source.read_text("utf-8"))
    if kind == "picture":
        link = os.path.relpath(source.with_suffix(".svg"), (root / page).parent)
        return f"![{settings['title']}]({link})"
    text = KINDS[kind](results)
    if kind == "made" and results["base"] != base_hash():
        text += "**This base is not the one in the repository: the study has to be run again.**\n"
    return text


def main() -> None:
    """Rewrite the pages, or with ``--check`` only say which are not up to date."""
    parser = argparse.ArgumentParser(prog="python -m recipes.tiny.evidence", description="Fill pages with results.")
    parser.add_argument("--check", action="store_true", help="change nothing; fail where a page is not up to date")
    options = parser.parse_args()
    try:
        for page in map(Path, PAGES):
            old = (ROOT / page).read_text("utf-8")
            new = fill(old, page)
            if new == old:
                continue
            if options.check:
                sys.exit(f"{page} does not show the committed results; run python -m recipes.tiny.evidence")
            with atomic_write(ROOT / page) as file:
                file.write(new)
            print(page, flush=True)
    except LipoError as error:
        sys.exit(f"error: {error.what}\n  fix: {error.fix}")


if __name__ == "__main__":
    main()
