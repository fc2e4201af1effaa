"""Prompt templates of declarations: Jinja in its sandbox, with the names that a row gives."""

from __future__ import annotations

import functools
from collections.abc import Callable

from lipo.common import LipoError

NAMES = ("question", "options", "choices", "subtitles", "row")
PATH_NAMES = ("row", "folder")


@functools.lru_cache(maxsize=256)
def compile_prompt(template: str, where: str, names: tuple[str, ...] = NAMES) -> Callable[..., str]:
    """Compile a template.

    Args:
        template: Untrusted; sees nothing but ``names``.
        where: For messages.
        names: What it may ask for.

    Returns:
        Function of the keyword arguments ``names``.

    Raises:
        LipoError: Not a template, or it asks for other names.

    Example:
        >>> compile_prompt("{{ question }}{% if options %} Options: {{ options }}{% endif %}", "")(
        ...     question="2+2?", options="", row={})
        '2+2?'
    """
    import jinja2
    from jinja2.meta import find_undeclared_variables
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    # A prompt is no HTML, so nothing is escaped.
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, autoescape=False)
    try:
        unknown = find_undeclared_variables(environment.parse(template)) - set(names)
        compiled = environment.from_string(template)
    except jinja2.TemplateError as error:
        raise LipoError(f"{where}: the prompt is no template: {error}", "see the other declarations") from error
    if unknown:
        raise LipoError(f"{where}: the prompt asks for '{min(unknown)}'", f"use {', '.join(names)}; row holds columns")

    def render(**values: object) -> str:
        try:
            return compiled.render(**values)
        except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError) as error:
            raise ValueError(f"the prompt cannot be filled in: {error}") from error

    return render
