"""Table and picture of a study, made from its JSON alone."""

from __future__ import annotations

import io
import re
from typing import Any

_COLOURS = ("#555555", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


def markdown(results: dict[str, Any]) -> str:
    """A table per task: accuracy, tokens, and both against the reference."""
    study = results["study"]
    reference = study["reference"]
    lines = []
    for task, methods in results["tasks"].items():
        lines += [
            f"**{task}**",
            "",
            f"| method | accuracy | tokens | accuracy against {reference} | tokens against {reference} |",
            "|---|---|---|---|---|",
        ]
        for method, figures in methods.items():
            cells = [f"`{method}`", share(figures["accuracy"]), number(figures["tokens"])]
            if "token_ratio" in figures:
                verdict = ", no worse" if figures["no_worse"] else ""
                cells += [points(figures["accuracy_difference"]) + verdict, _change(figures["token_ratio"])]
            else:
                cells += ["–", "–"]
            lines.append("| " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


def share(figure: dict[str, float]) -> str:
    """Percent with interval."""
    return f"{100 * figure['value']:.1f} % ({100 * figure['low']:.1f} – {100 * figure['high']:.1f})"


def number(figure: dict[str, float]) -> str:
    """A count with interval."""
    return f"{figure['value']:.1f} ({figure['low']:.1f} – {figure['high']:.1f})"


def points(figure: dict[str, float]) -> str:
    """A difference of shares in points, with interval."""
    return f"{100 * figure['value']:+.1f} ({100 * figure['low']:+.1f} to {100 * figure['high']:+.1f})"


def _change(figure: dict[str, float]) -> str:
    value, low, high = (100 * (figure[key] - 1) for key in ("value", "low", "high"))
    return f"{value:+.0f} % ({low:+.0f} to {high:+.0f})"


def picture(results: dict[str, Any]) -> str:
    """Response tokens per training step, and accuracy against tokens on held-out items, one column per task."""
    from matplotlib.figure import Figure

    tasks, methods = results["tasks"], list(results["study"]["methods"])
    colours = {"base": "#aaaaaa"} | {m: _COLOURS[i % len(_COLOURS)] for i, m in enumerate(methods)}
    figure = Figure(figsize=(4.6 * len(tasks), 6.6), layout="constrained")
    axes = figure.subplots(2, len(tasks), squeeze=False)
    for column, (task, cells) in enumerate(tasks.items()):
        curves, held_out = axes[0][column], axes[1][column]
        for method in methods:
            for seed in results["study"]["seeds"]:
                steps = results["curves"][f"{task}-{method}-{seed}"]
                label = method if seed == results["study"]["seeds"][0] else None
                curves.plot(
                    [s["step"] for s in steps], [s["tokens"] for s in steps], color=colours[method], label=label, lw=1.2
                )
        curves.set(title=task, xlabel="training step", ylabel="mean response tokens", ylim=(0, None))
        curves.legend(frameon=False, fontsize=8)
        scatter(held_out, cells, colours)
    return svg(figure)


def scatter(axis: Any, cells: dict[str, Any], colours: dict[str, str]) -> None:
    """Accuracy against tokens with both intervals, a point per model.

    Args:
        axis: matplotlib's.
        cells: Model → figures ``accuracy`` and ``tokens``.
        colours: Of some of the models.
    """
    for name, cell in cells.items():
        tokens, accuracy = cell["tokens"], cell["accuracy"]
        axis.errorbar(
            [tokens["value"]],
            [100 * accuracy["value"]],
            xerr=[[tokens["value"] - tokens["low"]], [tokens["high"] - tokens["value"]]],
            yerr=[[100 * (accuracy["value"] - accuracy["low"])], [100 * (accuracy["high"] - accuracy["value"])]],
            fmt="o",
            color=colours.get(name, _COLOURS[1]),
            capsize=2,
        )
        axis.annotate(
            name, (tokens["value"], 100 * accuracy["value"]), xytext=(5, 5), textcoords="offset points", fontsize=8
        )
    axis.set(xlabel="mean response tokens, held-out", ylabel="accuracy (%)")
    axis.margins(x=0.2, y=0.2)


def svg(figure: Any) -> str:
    """Draw a matplotlib figure; the same figures give the same bytes."""
    import matplotlib

    for axis in figure.axes:
        axis.spines[["top", "right"]].set_visible(False)
    stream = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "lipo", "svg.fonttype": "none"}):
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    return re.sub(r"[ \t]+\n", "\n", stream.getvalue())
