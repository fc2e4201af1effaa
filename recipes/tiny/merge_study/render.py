"""Table and picture of a study of merging, made from its JSON alone."""

from __future__ import annotations

from typing import Any

from recipes.tiny.merge_study.collect import AVERAGE
from recipes.tiny.merge_study.runs import label_of
from recipes.tiny.study.render import number, points, scatter, share, svg


def markdown(results: dict[str, Any]) -> str:
    """A row per model: accuracy and tokens by task, then on average, and against the reference."""
    study = results["study"]
    names = {label_of(name): f"`{name}`" for name in study["methods"]}
    tasks = study["tasks"]
    head = ["model", *tasks, "average accuracy", "average tokens", f"against {study['reference']}", "scales"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for label, figures in results["models"].items():
        cells = [names.get(label, label.replace("_", " "))]
        cells += [f"{100 * figures[t]['accuracy']['value']:.1f} % · {figures[t]['tokens']['value']:.0f}" for t in tasks]
        average = figures[AVERAGE]
        cells += [share(average["accuracy"]), number(average["tokens"])]
        method = label.removeprefix(label_of(""))
        of_method = label in names
        cells.append(points(average["difference"]) if of_method and method != study["reference"] else "–")
        cells.append(", ".join(f"{scale:g}" for scale in results["scales"][method]) if of_method else "–")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def picture(results: dict[str, Any]) -> str:
    """Average accuracy against average tokens."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 5), layout="constrained")
    prefix = label_of("")
    cells = {label.removeprefix(prefix): figures[AVERAGE] for label, figures in results["models"].items()}
    scatter(figure.subplots(), cells, {})
    return svg(figure)
