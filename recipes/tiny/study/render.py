"""Table and verdicts of a study as Markdown, made from its JSON alone."""

from __future__ import annotations

from typing import Any


def markdown(results: dict[str, Any]) -> str:
    """Tables, verdicts, and what they were made with."""
    return "\n".join([table(results), verdicts(results), made_with(results)])


def table(results: dict[str, Any], tasks: list[str] | None = None) -> str:
    """A table per task: what was measured, against the reference, and the place on the front.

    Args:
        results: Content of a study's JSON.
        tasks: Which of its tasks; null: all.
    """
    reference = results["study"]["reference"]
    # Not every study measures them.
    reflections = any("reflections" in cell for methods in results["tasks"].values() for cell in methods.values())
    head = [
        "method",
        "accuracy",
        "tokens",
        *(["reflections per response"] if reflections else []),
        f"accuracy against {reference}",
        f"tokens against {reference}",
        "on the front",
    ]
    lines = []
    for task, methods in results["tasks"].items():
        if tasks is not None and task not in tasks:
            continue
        lines += [f"**{task}**", "", "| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
        for method, figures in methods.items():
            cells = [f"`{method}`", share(figures["accuracy"]), number(figures["tokens"])]
            if reflections:
                cells.append(number(figures["reflections"], 2))
            if "token_ratio" in figures:
                verdict = ", no worse" if figures["no_worse"] else ""
                cells += [points(figures["accuracy_difference"]) + verdict, change(figures["token_ratio"])]
            else:
                cells += ["–", "–"]
            cells.append(f"{'yes' if figures['on_front'] else 'no'} ({100 * figures['front_share']:.0f} %)")
            lines.append("| " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


def verdicts(results: dict[str, Any], tasks: list[str] | None = None) -> str:
    """A line per comparison, in words; arguments as in :func:`table`."""
    margin = 100 * results["study"]["margin"]
    lines = []
    for task, found in results["verdicts"].items():
        for verdict in found if tasks is None or task in tasks else ():
            ratio = verdict["token_ratio"]
            fewer, least, most = (100 * (1 - ratio[key]) for key in ("value", "high", "low"))
            direction = "below" if fewer >= 0 else "above"
            if fewer < 0:
                fewer, least, most = -fewer, -most, -least
            lines.append(
                f"- {task}: `{verdict['method']}` ends {fewer:.0f} % {direction} `{verdict['other']}` in tokens "
                f"({least:.0f} to {most:.0f}); accuracy {points(verdict['accuracy_difference'])} points, "
                f"not inferior by more than {margin:g}: {'yes' if verdict['no_worse'] else 'not shown'}."
            )
    return "\n".join([*lines, ""])


def training_tokens(results: dict[str, Any]) -> str:
    """What :func:`recipes.tiny.study.collect.collect` gives under ``training``."""
    head = [
        "task",
        "method",
        "tokens, last ten steps",
        "tokens, all steps",
        "halved at step",
        "cut off, last ten steps",
        "responses per step",
    ]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for task, methods in results["training"].items():
        for method, figures in methods.items():
            halved = _halved(figures["half"], len(results["study"]["seeds"]))
            tokens = f"{number(figures['last'])} | {number(figures['all'])} | {halved}"
            rest = f"{share(figures['cut_off'])} | {number(figures['responses'], 0)}"
            lines.append(f"| {task} | `{method}` | {tokens} | {rest} |")
    return "\n".join([*lines, ""])


def _halved(figure: dict[str, float] | None, seeds: int) -> str:
    if figure is None:
        return "never"
    some = f", in {figure['seeds']} of {seeds} seeds" if "seeds" in figure else ""
    return number(figure, 0) + some


def made_with(results: dict[str, Any]) -> str:
    """Command, seeds, items, base and versions, in a sentence each."""
    study = results["study"]
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    seeds = ", ".join(map(str, study["seeds"]))
    return (
        f"Made by `{results['command']}`: tasks {', '.join(study['tasks'])}; seeds {seeds}; {study['test_items']} "
        f"held-out items per task, {study['samples']} response(s) each at temperature 1. Base: SHA-256 "
        f"`{results['base'][:16]}…`. {versions}.\n"
    )


def share(figure: dict[str, float]) -> str:
    """Percent with interval."""
    return f"{100 * figure['value']:.1f} % ({100 * figure['low']:.1f} – {100 * figure['high']:.1f})"


def number(figure: dict[str, float], digits: int = 1) -> str:
    """A count with interval."""
    value, low, high = (f"{figure[key]:.{digits}f}" for key in ("value", "low", "high"))
    return f"{value} ({low} – {high})"


def points(figure: dict[str, float]) -> str:
    """A difference of shares in points, with interval."""
    return f"{100 * figure['value']:+.1f} ({100 * figure['low']:+.1f} to {100 * figure['high']:+.1f})"


def change(figure: dict[str, float]) -> str:
    """A ratio as a change in percent, with interval."""
    value, low, high = (100 * (figure[key] - 1) for key in ("value", "low", "high"))
    return f"{value:+.0f} % ({low:+.0f} to {high:+.0f})"
