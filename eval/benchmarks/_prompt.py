"""Prompt templates of declarations: Jinja in its sandbox, with the names that a row gives."""

from __future__ import annotations

import functools
from collections.abc import Callable

from lipo.common import LipoError

NAMES = ("question", "options", "row")


@functools.lru_cache(maxsize=256)
def compile_prompt(template: str, where: str) -> Callable[..., str]:
    """Compile a template.

    Args:
        template: Untrusted; sees nothing but :data:`NAMES`.
        where: For messages.

    Returns:
        Function of the keyword arguments :data:`NAMES`.

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
        unknown = find_undeclared_variables(environment.parse(template)) - set(NAMES)
        compiled = environment.from_string(template)
    except jinja2.TemplateError as error:
        raise LipoError(f"{where}: the prompt is no template: {error}", "see the other declarations") from error
    if unknown:
        raise LipoError(f"{where}: the prompt asks for '{min(unknown)}'", f"use {', '.join(NAMES)}; row holds columns")

    def render(**names: object) -> str:
        try:
            return compiled.render(**names)
        except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError) as error:
            raise ValueError(f"the prompt cannot be filled in: {error}") from error

    return render
