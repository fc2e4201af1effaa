"""Table, verdicts and picture of a study of merging, made from its JSON alone."""

from __future__ import annotations

import statistics
from typing import Any

from recipes.tiny.merge_study.collect import AVERAGE
from recipes.tiny.merge_study.runs import label_of
from recipes.tiny.study.picture import svg
from recipes.tiny.study.render import change, made_with, number, points, share

_COLOUR = "#0072B2"


def markdown(results: dict[str, Any]) -> str:
    """Tables, verdicts, and what they were made with."""
    parts = [table(results), verdicts(results), untuned_table(results), by_scale(results), made_with(results)]
    return "\n".join(parts)


def table(results: dict[str, Any]) -> str:
    """A row per model: accuracy and tokens by task and on average, against the reference, scales and norm ratio."""
    study = results["study"]
    names = {label_of(name): name for name in study["methods"]}
    tasks = study["tasks"]
    head = ["model", *tasks, "average accuracy", "average tokens", f"against {study['reference']}", "scales"]
    head.append("‖τ_m‖ / mean ‖τ‖")
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for label, figures in results["models"].items():
        cells = [_name(label, results), *_by_task(figures, tasks)]
        average = figures[AVERAGE]
        cells += [share(average["accuracy"]), number(average["tokens"])]
        method = names.get(label)
        cells.append(points(average["difference"]) if method not in (None, study["reference"]) else "–")
        if method is None:
            cells += ["–", "–"]
        else:
            cells.append(", ".join(f"{scale:g}" for scale in results["scales"][method]))
            cells.append(f"{statistics.median(results['norm_ratios'][method]):.2f}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def untuned_table(results: dict[str, Any]) -> str:
    """A row per method with its default scale: by task, on average, and the subject's advantage, if there is one."""
    study, untuned = results["study"], results["untuned"]
    against = {verdict["other"]: verdict for verdict in untuned["verdicts"]}
    head = ["no scale chosen", *study["tasks"], "average accuracy", "average tokens", "scale"]
    head += [f"{study['subject']} is better by"] if against else []
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name, figures in untuned["models"].items():
        average = figures[AVERAGE]
        cells = [f"`{name}`", *_by_task(figures, study["tasks"]), share(average["accuracy"]), number(average["tokens"])]
        cells.append(f"{untuned['scales'][name]:g}")
        if against:
            cells.append(points(against[name]["accuracy_difference"]) if name in against else "–")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _by_task(figures: dict[str, Any], tasks: list[str]) -> list[str]:
    return [
        f"{100 * figures[task]['accuracy']['value']:.1f} % · {figures[task]['tokens']['value']:.0f}" for task in tasks
    ]


def verdicts(results: dict[str, Any]) -> str:
    """A line per comparison of the subject."""
    margin = 100 * results["study"]["margin"]
    lines = []
    for verdict in results["verdicts"]:
        judged = "better" if verdict["better"] else "not inferior" if verdict["no_worse"] else "not shown"
        lines.append(
            f"- {_name(verdict['method'], results)} against {_name(verdict['other'], results)}, {verdict['task']}: "
            f"accuracy {points(verdict['accuracy_difference'])} points, tokens {change(verdict['token_ratio'])}; "
            f"better, or not inferior by more than {margin:g} point: {judged}."
        )
    return "\n".join([*lines, ""])


def by_scale(results: dict[str, Any]) -> str:
    """A row per method: accuracy and tokens on validation items at every scale, means over tasks and seeds."""
    scales = results["study"]["scales"]
    lines = ["| validation | " + " | ".join(f"{scale:g}" for scale in scales) + " |", "|---" * (len(scales) + 1) + "|"]
    for method, cells in results["validation"].items():
        shown = [f"{100 * cell['accuracy']:.1f} % · {cell['tokens']:.0f}" for cell in cells]
        lines.append("| " + " | ".join([f"`{method}`", *shown]) + " |")
    return "\n".join(lines) + "\n"


def _name(label: str, results: dict[str, Any]) -> str:
    methods = {label_of(name): f"`{name}`" for name in results["study"]["methods"]}
    return methods.get(label, label.replace("_", " "))


def picture(results: dict[str, Any]) -> str:
    """A row per model: average accuracy and tokens, of methods with the chosen and with the default scale."""
    from matplotlib.figure import Figure

    labels = list(results["models"])
    height = {label_of(name): row for row, name in enumerate(reversed(results["study"]["methods"]))}
    height |= {label: len(height) + row for row, label in enumerate(reversed([x for x in labels if x not in height]))}
    untuned = {label_of(name): figures for name, figures in results["untuned"]["models"].items()}
    figure = Figure(figsize=(8, 1.2 + 0.3 * len(labels)), layout="constrained")
    accuracy, tokens = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    for axis, key, factor in ((accuracy, "accuracy", 100), (tokens, "tokens", 1)):
        for group, offset, face, name in (
            (results["models"], 0.12, _COLOUR, "chosen"),
            (untuned, -0.18, "w", "default"),
        ):
            cells = {height[label] + offset: figures[AVERAGE][key] for label, figures in group.items()}
            values = [factor * cell["value"] for cell in cells.values()]
            spread = [
                [factor * (cell["value"] - cell["low"]) for cell in cells.values()],
                [factor * (cell["high"] - cell["value"]) for cell in cells.values()],
            ]
            style = {"fmt": "o", "color": _COLOUR, "markerfacecolor": face, "ms": 4.5, "elinewidth": 0.9, "capsize": 2}
            axis.errorbar(values, list(cells), xerr=spread, label=f"scale: {name}", **style)
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="x", color="#dddddd", lw=0.6)
    accuracy.set_yticks(list(height.values()), [label.removeprefix(label_of("")) for label in height], fontsize=8)
    accuracy.set(xlabel="average accuracy, held-out (%)")
    tokens.set(xlabel="mean response tokens, held-out", xlim=(0, None))
    tokens.legend(frameon=False, fontsize=8)
    return svg(figure)
