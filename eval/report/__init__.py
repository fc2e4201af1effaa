"""The report: ``report.html`` (self-contained) and ``report.md`` from the same figures."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from eval.claims import check_claims, judge
from eval.config import Claim
from eval.report._charts import TrainingCurves
from eval.report._html import render_html
from eval.report._markdown import render_markdown
from eval.results import Results
from lipo.common import atomic_write

__all__ = ["TrainingCurves", "write_report"]


def write_report(
    results: Results,
    directory: Path,
    training_curves: TrainingCurves | None = None,
    claims: Iterable[Claim] = (),
    title: str | None = None,
) -> Path:
    """Write ``report.html`` and ``report.md``.

    The HTML file needs nothing from outside, and a content security policy forbids it to load anything; all text
    from models and data sets is escaped.

    Args:
        results: From :func:`eval.run`.
        directory: Receives both files.
        training_curves: Run name → one mapping per step with ``step`` and any of ``response_length`` (tokens) and
            ``score``.
        claims: To be judged instead of those in the configuration.
        title: Heading; None for the configuration's.

    Returns:
        Path of ``report.html``.

    Raises:
        LipoError: A claim names an unknown model or benchmark.

    Example:
        >>> write_report(results, Path("runs/eval"), {"math": [{"step": 1, "response_length": 92.1, "score": 0.5}]},
        ...              claims=[Claim("math", "math", min_token_reduction=0.42)])  # doctest: +SKIP
        PosixPath('runs/eval/report.html')
    """
    claims = list(claims)
    check_claims(claims, results.config)
    verdicts = judge(claims, results) if claims else results.claims
    heading = title or results.config.title
    with atomic_write(directory / "report.md") as file:
        file.write(render_markdown(results, verdicts, heading))
    path = directory / "report.html"
    with atomic_write(path) as file:
        file.write(render_html(results, verdicts, training_curves or {}, heading))
    return path
