"""Picture of a study, made from its JSON alone."""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np

_COLOURS = ("#555555", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_FAINT = "#bbbbbb"


def picture(results: dict[str, Any]) -> str:
    """Tokens and accuracy by training step, of video reflections, too; accuracy against tokens on held-out items.

    One column per task.
    """
    from matplotlib.figure import Figure

    tasks, palette = results["tasks"], colours(results["study"])
    reflections = any("reflections" in step for curve in results["curves"].values() for step in curve)
    rows = 4 if reflections else 3
    figure = Figure(figsize=(max(7.0, 4.6 * len(tasks)), 9.4 if rows == 3 else 12.5), layout="constrained")
    axes = figure.subplots(rows, len(tasks), squeeze=False)
    for column, (task, cells) in enumerate(tasks.items()):
        if task in results["study"]["tasks"]:
            _curves(axes[0][column], results, task, "tokens", 1, palette)
            _curves(axes[1][column], results, task, "accuracy", 100, palette)
            axes[0][column].set(ylabel="mean response tokens", ylim=(0, None))
            axes[1][column].set(ylabel="accuracy of rollouts (%)")
            if reflections:
                _curves(axes[2][column], results, task, "reflections", 1, palette)
                axes[2][column].set(ylabel="reflections per rollout", ylim=(0, None))
        else:
            axes[0][column].set_axis_off()
            axes[1][column].set_axis_off()
        axes[0][column].set_title(task)
        scatter(axes[-1][column], cells, palette)
        front(axes[-1][column], cells)
    figure.draw_without_rendering()  # Where points lie on the page is known only now.
    for axis, cells in zip(axes[-1], tasks.values(), strict=True):
        name_points(axis, cells, palette)
    handles, labels = axes[0][0].get_legend_handles_labels()
    axes[0][0].legend(handles, labels, frameon=False, fontsize=8)
    return svg(figure)


def colours(study: dict[str, Any]) -> dict[str, str]:
    """A colour for each method; of many methods, only for the reference, LIPO and the subject."""
    methods = list(study["methods"])
    if len(methods) > len(_COLOURS):
        chosen = (study["reference"], "lipo", study.get("subject"))
        methods = [method for method in methods if method in chosen]
    return {"base": "#000000"} | dict(zip(methods, _COLOURS, strict=False))


def _curves(axis: Any, results: dict[str, Any], task: str, key: str, factor: float, palette: dict[str, str]) -> None:
    """Mean over seeds by training step, with a band from the smallest to the largest."""
    study = results["study"]
    for method in sorted(study["methods"], key=lambda name: name in palette):
        runs = [results["curves"][f"{task}-{method}-{seed}"] for seed in study["seeds"]]
        length = min(map(len, runs))
        values = factor * np.array([[step[key] for step in run[:length]] for run in runs])
        steps = [step["step"] for step in runs[0][:length]]
        known = method in palette
        colour = palette.get(method, _FAINT)
        axis.plot(steps, values.mean(0), color=colour, label=method if known else None, lw=1.4 if known else 0.7)
        if known and len(runs) > 1:
            axis.fill_between(steps, values.min(0), values.max(0), color=colour, alpha=0.18, lw=0)
    axis.set(xlabel="training step")


def scatter(axis: Any, cells: dict[str, Any], palette: dict[str, str]) -> None:
    """Accuracy against tokens with both intervals, a point per model.

    Args:
        axis: matplotlib's.
        cells: Model → figures ``accuracy`` and ``tokens``.
        palette: Colours of some of the models.
    """
    for name, cell in cells.items():
        tokens, accuracy = cell["tokens"], cell["accuracy"]
        axis.errorbar(
            [tokens["value"]],
            [100 * accuracy["value"]],
            xerr=[[tokens["value"] - tokens["low"]], [tokens["high"] - tokens["value"]]],
            yerr=[[100 * (accuracy["value"] - accuracy["low"])], [100 * (accuracy["high"] - accuracy["value"])]],
            fmt="o",
            color=palette.get(name, "#888888"),
            capsize=2,
            elinewidth=0.8,
            zorder=3 if name in palette else 2,
        )
    axis.set(xlabel="mean response tokens, held-out", ylabel="accuracy (%)")
    axis.margins(x=0.2, y=0.2)


def name_points(axis: Any, cells: dict[str, Any], palette: dict[str, str]) -> None:
    """Write the models' names beside their points, those of a crowd above and below it, joined by a line.

    Args:
        axis: As :func:`scatter` left it, in a figure that has been laid out.
        cells: Model → figures ``accuracy`` and ``tokens``.
        palette: Colours of some of the models.
    """

    def on_page(end: str) -> dict[str, tuple[float, float]]:
        corners = {name: (cell["tokens"][end], 100 * cell["accuracy"][end]) for name, cell in cells.items()}
        scale = 72 / axis.figure.dpi
        return {name: tuple(scale * axis.transData.transform(corner)) for name, corner in corners.items()}

    points, low_ends, high_ends = on_page("value"), on_page("low"), on_page("high")
    taken = []
    for name, (x, y) in points.items():
        taken += [(x - 3, low_ends[name][1], x + 3, high_ends[name][1])]
        taken += [(low_ends[name][0], y - 3, high_ends[name][0], y + 3)]
    for name in sorted(points, key=lambda name: (-points[name][1], points[name][0])):
        (x, y), width = points[name], 4.1 * len(name)
        for right, up in _PLACES:
            left, low = (x + right if right > 0 else x + right - width), y + up
            box = (left, low - 1, left + width, low + 8)
            if not any(_overlap(box, other) for other in taken):
                break
        taken.append(box)
        axis.annotate(
            name,
            (cells[name]["tokens"]["value"], 100 * cells[name]["accuracy"]["value"]),
            xytext=(left - x, low - y),
            textcoords="offset points",
            fontsize=7,
            color=palette.get(name, "#444444"),
            arrowprops={"arrowstyle": "-", "lw": 0.4, "color": "#999999"} if abs(up) > 12 else None,
        )


_PLACES = [(side * 4, up) for up in (4, -10) for side in (1, -1)] + [
    (side * 8, sign * up) for up in range(14, 140, 8) for sign in (1, -1) for side in (1, -1)
]
"""Where a name may stand, in points from the model's: beside it, else ever farther above and below."""

_Box = tuple[float, float, float, float]


def _overlap(one: _Box, other: _Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def front(axis: Any, cells: dict[str, Any]) -> None:
    """Draw the Pareto front: what no other model beats in both accuracy and tokens."""
    corners = sorted((c["tokens"]["value"], 100 * c["accuracy"]["value"]) for c in cells.values() if c["on_front"])
    axis.plot(*zip(*corners, strict=True), ":", color="#555555", lw=1, zorder=0)


def svg(figure: Any) -> str:
    """Draw a matplotlib figure; the same figures give the same bytes."""
    import matplotlib

    for axis in figure.axes:
        axis.spines[["top", "right"]].set_visible(False)
    stream = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "lipo", "svg.fonttype": "none"}):
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    return re.sub(r"[ \t]+\n", "\n", stream.getvalue())
