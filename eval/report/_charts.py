"""Pictures as inline SVG, drawn with matplotlib."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from eval.results import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TrainingCurves = Mapping[str, Sequence[Mapping[str, float]]]
"""Run name → steps, each with ``step`` and measured values."""

_BASELINE = "#555555"
# Okabe and Ito's palette, told apart by colour-blind readers.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_SIZE = (4.6, 3.3)
"""Inches; two fit beside each other on a desk, one fills a phone's width."""


def colours(results: Results) -> dict[str, str]:
    """Assign a colour to every model; the baseline is grey."""
    others = [model for model in results.config.models if model != results.config.baseline]
    return {results.config.baseline: _BASELINE, **{m: _COLOURS[i % len(_COLOURS)] for i, m in enumerate(others)}}


def scatter(results: Results, benchmark: str) -> str:
    """Accuracy against mean tokens with 95 % intervals; a line joins the models no other beats in both.

    Args:
        results: Figures.
        benchmark: Name, or ``average``.

    Returns:
        ``<svg>`` element.
    """
    figure, axes = _axes("mean response tokens", "accuracy (%)")
    points = {}
    for model, colour in colours(results).items():
        if benchmark == "average":
            tokens, accuracy = results.averages[model].tokens, results.averages[model].accuracy
        else:
            cell = results.cells[model][benchmark]
            tokens, accuracy = cell.tokens.mean, cell.accuracy
        points[model] = (tokens.value, 100 * accuracy.value)
        axes.errorbar(
            [tokens.value],
            [100 * accuracy.value],
            xerr=[[tokens.value - tokens.low], [tokens.high - tokens.value]] if tokens.bounded else None,
            yerr=[[100 * (accuracy.value - accuracy.low)], [100 * (accuracy.high - accuracy.value)]],
            fmt="o",
            color=colour,
            capsize=2,
            elinewidth=1,
            markersize=7,
        )
    front = pareto_front(points)
    axes.plot(*zip(*[points[m] for m in front], strict=True), ":", color="#999999", zorder=0)
    axes.margins(x=0.18, y=0.15)
    axes.set_xlim(left=max(0.0, axes.get_xlim()[0]))
    return _svg(figure, f"Accuracy against tokens, {benchmark}")


def pareto_front(points: Mapping[str, tuple[float, float]]) -> list[str]:
    """Name the models that no other beats in both tokens (fewer) and accuracy (higher), by tokens.

    Example:
        >>> pareto_front({"a": (10, 50), "b": (20, 60), "c": (30, 55)})
        ['a', 'b']
    """
    front: list[str] = []
    best = -math.inf
    for model, (_, accuracy) in sorted(points.items(), key=lambda p: (p[1][0], -p[1][1])):
        if accuracy > best:
            front.append(model)
            best = accuracy
    return front


def histogram(results: Results, benchmark: str) -> str:
    """Distribution of response lengths, one outline per model."""
    lengths = {
        model: [row.tokens for row in results.scores[model][benchmark] if row.error is None]
        for model in results.config.models
    }
    longest = max((max(values, default=1) for values in lengths.values()), default=1)
    edges = np.linspace(0, longest + 1, 33)
    figure, axes = _axes("response tokens", "share of responses (%)")
    for model, colour in colours(results).items():
        if lengths[model]:
            counts, _ = np.histogram(lengths[model], edges)
            axes.stairs(100 * counts / len(lengths[model]), edges, color=colour, label=model, linewidth=1.6)
    _legend(axes)
    return _svg(figure, f"Response lengths, {benchmark}")


def training(results: Results, curves: TrainingCurves, key: str, label: str) -> str:
    """A value per training step, one line per run, in the colour of the model of that name, if there is one.

    Returns:
        ``<svg>`` element; empty where no run measured the value.
    """
    palette = colours(results)
    figure, axes = _axes("training step", label)
    drawn = False
    for i, (name, steps) in enumerate(curves.items()):
        pairs = [(s["step"], s[key]) for s in steps if _finite(s.get("step")) and _finite(s.get(key))]
        if pairs:
            colour = palette.get(name, _COLOURS[i % len(_COLOURS)])
            axes.plot(*zip(*pairs, strict=True), color=colour, label=name, linewidth=1.6)
            drawn = True
    axes.set_ylim(bottom=0)
    _legend(axes)
    svg = _svg(figure, f"{label} during training")
    return svg if drawn else ""


def _finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _axes(x: str, y: str) -> tuple[Figure, Axes]:
    # Without pyplot: no global state, no display.
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel=x, ylabel=y)
    axes.grid(color="#e5e5e5", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def _legend(axes: Axes) -> None:
    if axes.get_legend_handles_labels()[0]:
        for text in axes.legend(frameon=False, fontsize=8).get_texts():
            text.set_parse_math(False)


def _svg(figure: Figure, description: str) -> str:
    import matplotlib
    from markupsafe import escape

    buffer = io.StringIO()
    # A fixed salt and no date make equal figures equal files; ids then need a prefix to differ within one page.
    with matplotlib.rc_context({"svg.hashsalt": description, "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'\b(width|height)="[\d.]+pt"\s*', "", svg, count=2)
    prefix = re.sub(r"\W+", "-", description)
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}-", svg)
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(description)}"', 1)
