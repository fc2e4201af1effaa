"""Renders ``report.html``."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from eval.claims import Verdict
from eval.report import _charts
from eval.report._browser import ITEMS_PER_BENCHMARK, browser_data
from eval.report._prompts import example_prompts
from eval.results import Results

_FOLDER = Path(__file__).parent


def render_html(results: Results, verdicts: Sequence[Verdict], curves: _charts.TrainingCurves, title: str) -> str:
    """Render the page.

    Args:
        results: Figures and scored answers.
        verdicts: Judged claims.
        curves: Training curves; may be empty.
        title: Heading.

    Returns:
        A whole HTML document.
    """
    names = list(results.config.benchmarks)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = (_FOLDER / "browser.js").read_text("utf-8")
    return environment.get_template("report.html.jinja").render(
        title=title,
        results=results,
        config=results.config,
        verdicts=verdicts,
        colours=_charts.colours(results),
        best=_best(results, names),
        scatters=[Markup(_charts.scatter(results, name)) for name in _averaged(names)],  # noqa: S704 (our own SVG)
        histograms=[Markup(_charts.histogram(results, name)) for name in names],  # noqa: S704
        training=_training(results, curves),
        methods=_methods(results),
        examples=example_prompts(results),
        has_videos=any(item.clip for items in results.items.values() for item in items),
        items_per_benchmark=ITEMS_PER_BENCHMARK,
        data=_script_data(browser_data(results)),
        style=Markup((_FOLDER / "report.css").read_text("utf-8")),  # noqa: S704 (our own file)
        script=Markup(script),  # noqa: S704 (our own file)
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _best(results: Results, names: list[str]) -> dict[str, float]:
    """Highest accuracy per benchmark and on average; none where there is one model only."""
    if len(results.config.models) < 2:
        return dict.fromkeys([*names, "average"], -1.0)
    best = {name: max(cells[name].accuracy.value for cells in results.cells.values()) for name in names}
    return {**best, "average": max(average.accuracy.value for average in results.averages.values())}


def _methods(results: Results) -> set[str]:
    """How accuracies were compared: by ``proportions``, by ``bootstrap``, or by the one here and the other there."""
    comparisons = [c for per_benchmark in results.comparisons.values() for c in per_benchmark.values()]
    return {"bootstrap" if c.became_right is None else "proportions" for c in comparisons}


def _averaged(names: list[str]) -> list[str]:
    return [*names, "average"] if len(names) > 1 else names


def _training(results: Results, curves: _charts.TrainingCurves) -> list[Markup]:
    pictures = [
        _charts.training(results, curves, "response_length", "mean response tokens"),
        _charts.training(results, curves, "score", "mean score"),
    ]
    return [Markup(p) for p in pictures if p]  # noqa: S704 (our own SVG)


def _script_data(data: Any) -> Markup:
    # No "<" can then end the script element or open a comment, whatever models and data sets contain.
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704
