"""Looks values up in rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from eval.sources._literals import read_literal


def look_up(row: Mapping[str, Any], names: Sequence[str]) -> Any:
    """Return the first column of ``names`` that has a value in this row.

    ``metadata.subject`` looks into a mapping, or into the text of one.
    """
    for name in names:
        value = row.get(name)
        if value is None and "." in name:
            column, _, key = name.partition(".")
            inside = read_literal(row.get(column))
            value = inside.get(key) if isinstance(inside, dict) else None
        if value is not None:
            return value
    return None


def for_people(row: Mapping[str, Any]) -> dict[str, Any]:
    """Prepare a row for a template: blank cells print as nothing, and bytes have no place there."""
    return {name: "" if value is None or isinstance(value, bytes) else value for name, value in row.items()}
