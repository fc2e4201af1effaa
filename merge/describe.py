"""What a plan would do, in a few rows: for ``--dry-run`` and the model card."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from merge.plan import COPY, Plan


@dataclass(frozen=True)
class Group:
    """Tensors that are treated alike.

    Attributes:
        method: Method's name, or ``base`` where the base is kept.
        options: The method's options as ``key=value`` text.
        tensors: How many.
        parameters: Elements in all of them.
        examples: Kinds of tensors, their layer numbers replaced by ``*``.
    """

    method: str
    options: str
    tensors: int
    parameters: int
    examples: tuple[str, ...]


def groups(plan: Plan) -> list[Group]:
    """Group the plan's tensors by treatment, the largest group first."""
    members: dict[tuple[str, str], list[int]] = {}
    for index, job in enumerate(plan.jobs):
        values = {} if job.method == COPY else dataclasses.asdict(job.options)
        text = " ".join(f"{key}={value}" for key, value in values.items() if value is not None)
        members.setdefault((job.method, text), []).append(index)
    rows = []
    for (method, options), indices in members.items():
        jobs = [plan.jobs[index] for index in indices]
        kinds = dict.fromkeys(kind_of(job.name) for job in jobs)
        rows.append(Group(method, options, len(jobs), sum(job.base.numel for job in jobs), tuple(kinds)))
    return sorted(rows, key=lambda row: -row.parameters)


def kind_of(name: str) -> str:
    """Name without its layer's number: ``model.layers.*.mlp.up_proj.weight``."""
    return ".".join("*" if part.isdigit() else part for part in name.split("."))


def peak_memory(plan: Plan) -> int:
    """Bytes that one worker needs for the largest tensor, beside the Python process itself."""
    return max((job.effort.memory for job in plan.jobs), default=0)
