"""Makes the reference pages from docstrings and dataclasses while mkdocs builds; nothing of it is kept in files."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

_SECTION = re.compile(r"^(Args|Returns|Raises|Attributes|Yields|Example|Examples|Formula|Note):{1,2}$")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the generated pages to the navigation."""
    groups: dict[str, list[Any]] = {}
    for place, _ in pages():
        groups.setdefault(Path(place).parent.name, []).append(place)
    titles = {"estimators": "Length rules", "methods": "Merge methods", "benchmarks": "Benchmarks", "config": "Keys"}
    (config.nav or []).append({"Reference": [{titles[name]: places} for name, places in groups.items()]})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages themselves."""
    for place, text in pages():
        files.append(File.generated(config, place, content=text))
    return files


def pages() -> Iterator[tuple[str, str]]:
    """Yield place and Markdown of every reference page."""
    yield from _estimators()
    yield from _methods()
    yield from _benchmarks()
    yield from _configs()


def _estimators() -> Iterator[tuple[str, str]]:
    from lipo.common import reference_table
    from lipo.estimators import RULES

    for name in sorted(RULES, key=lambda n: (n != "lipo", n)):
        rule = RULES[name]
        module = inspect.getmodule(rule.config)
        body = [f"# {name}", "", _first(module), "", markdown(rule.body), "", "## Options", ""]
        body += [
            f"Under `algorithm.{name}`; chosen by `algorithm.adv_estimator={name}`.",
            "",
            reference_table(rule.config),
        ]
        yield f"reference/estimators/{name}.md", "\n".join(body) + "\n"


def _methods() -> Iterator[tuple[str, str]]:
    from lipo.common import reference_table
    from merge.methods import get_method, method_names

    for name in sorted(method_names(), key=lambda n: (n != "amm", n)):
        found = get_method(name)
        body = [f"# {name}", "", markdown(found.function), "", "## Options", ""]
        body += [f"Under `options` with `method: {name}`.", "", reference_table(found.options)]
        yield f"reference/methods/{name}.md", "\n".join(body) + "\n"


def _benchmarks() -> Iterator[tuple[str, str]]:
    try:
        from eval.benchmarks import benchmark_names, find_declaration
    except ImportError:
        return
    for name in benchmark_names():
        declared = find_declaration(name)
        body = [f"# {name}", "", f"**{declared.title}.** {declared.about}", ""]
        if declared.paper:
            body += [f"Paper: [arXiv {declared.paper}](https://arxiv.org/abs/{declared.paper}).", ""]
        body += [f"Figure: {declared.metric}.", "", "The prompt:", "", "```jinja", declared.prompt.rstrip(), "```", ""]
        if declared.differences:
            body += ["Where our figure differs from the published rule:", ""]
            body += [f"- {text}" for text in declared.differences]
        yield f"reference/benchmarks/{name}.md", "\n".join(body) + "\n"


def _configs() -> Iterator[tuple[str, str]]:
    import eval as evaluation
    from lipo.common import reference_table
    from lipo.pipeline import PipelineConfig, Profile
    from merge import MergeConfig, Rule

    groups = {
        "pipeline": ("`lipo run`", (PipelineConfig, Profile)),
        "merge": ("`lipo merge`", (MergeConfig, Rule)),
        "eval": (
            "`lipo eval`",
            (
                evaluation.EvalConfig,
                evaluation.BenchmarkConfig,
                evaluation.SamplingConfig,
                evaluation.EngineConfig,
                evaluation.Claim,
            ),
        ),
    }
    for name, (command, classes) in groups.items():
        body = [f"# Keys of {command}", "", "Unknown keys are refused with the nearest valid name.", ""]
        for cls in classes:
            body += [f"## {cls.__name__}", "", markdown(cls), "", reference_table(cls), ""]
        yield f"reference/config/{name}.md", "\n".join(body)


def _first(module: Any) -> str:
    return _code((inspect.getdoc(module) or "").partition("\n\n")[0])


def markdown(thing: Any) -> str:
    """Convert a Google-style docstring: sections become headings, ``code`` becomes `code`, examples become blocks.

    >>> def f():
    ...     '''Add.
    ...
    ...     Args:
    ...         a: With ``b``.
    ...     '''
    >>> print(markdown(f))
    Add.
    <BLANKLINE>
    **Args**
    <BLANKLINE>
    - `a`: With `b`.
    """
    lines: list[str] = []
    section, literal = "", False
    for line in (inspect.getdoc(thing) or "").splitlines():
        found = _SECTION.match(line)
        if found:
            section, literal = found.group(1), line.endswith("::") or found.group(1).startswith("Example")
            lines += ([] if lines and not lines[-1] else [""]) + [f"**{section}**", ""]
        elif literal and (not line or line.startswith(" ")):
            lines.append(line)
        elif section and line.startswith("    ") and not line.startswith("     "):
            literal = False
            name, colon, text = line.strip().partition(": ")
            plain = colon and re.fullmatch(r"\w+", name)
            lines.append(_code(f"- `{name}`: {text}" if plain else line.strip()))
        else:
            section, literal = (section, literal) if line.startswith(" ") or not line else ("", False)
            lines.append(_code(line.strip() if section else line))
    return "\n".join(lines).strip()


def _code(text: str) -> str:
    text = re.sub(r":\w+:`~?([\w.]+)`", r"`\1`", text)
    return re.sub(r"``(.+?)``", r"`\1`", text)
