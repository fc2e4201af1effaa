"""The model card: what the merged model is made of, in Markdown."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from merge.describe import groups
from merge.plan import Plan, settings, versions

_SUMMARY = {
    "median_norm_ratio": "‖merged delta‖ / mean ‖expert delta‖, median over the method's tensors",
    "median_expert_cosine": "cosine between two experts' deltas, median",
    "median_survived": "share of the merged delta left after rounding to the output type, median",
}


def model_card(plan: Plan, summary: Mapping[str, Any]) -> str:
    """Describe a merge for people.

    Args:
        plan: What was done.
        summary: From :func:`merge.manifest.summarise`.

    Returns:
        The text of ``README.md``.
    """
    rows = [
        f"| {group.method} | {_code(group.options)} | {group.tensors} | {group.parameters:,} |"
        for group in groups(plan)
    ]
    models = [("base", plan.base), *plan.experts.items()]
    lines = [
        "---",
        "library_name: transformers",
        "tags: [merge]",
        "---",
        f"# {_plain(plan.config.out.name)}",
        "",
        f"A merge of {len(plan.experts)} experts made with lipo {versions()['lipo']}, method {plan.config.method}, "
        f"stored as {plan.config.dtype}. `manifest.json` has the hash of every input and output and a record of every "
        "tensor.",
        "",
        "| model | directory |",
        "|---|---|",
        *(f"| {_plain(name)} | {_code(str(model.directory))} |" for name, model in models),
        "",
        "| treatment | options | tensors | parameters |",
        "|---|---|---|---|",
        *rows,
        "",
        *(f"- {text}: {summary[key]}" for key, text in _SUMMARY.items() if key in summary),
        *(f"  - {_code(kind)}: {share}" for kind, share in summary.get("survived", {}).items()),
        "",
        "The same merge again, as a recipe for `lipo merge` (YAML holds JSON; add `out`):",
        "",
        "```json",
        json.dumps(settings(plan.config), indent=2, ensure_ascii=False).replace("`", "'"),
        "```",
        "",
    ]
    return "\n".join(lines)


def _code(text: str) -> str:
    return f"`{text.replace('`', chr(39)).replace('|', '/')}`" if text else ""


def _plain(text: str) -> str:
    # Names come from recipes written by anyone; a card is rendered as HTML on model hubs.
    return "".join(c if c.isalnum() or c in " ._-" else "_" for c in text)
