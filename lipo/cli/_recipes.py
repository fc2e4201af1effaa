"""Finds recipe files in a checkout or in the installed package."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from lipo.cli._storage import fetch
from lipo.common import LipoError
from lipo.submission import SENT


def find_recipe(path: Path) -> Path:
    """Resolve a recipe path: as given, else in what ``lipo submit`` sent, else ``recipes/…`` of the installed package.

    Args:
        path: E.g. ``recipes/tiny/math.yaml``; relative to the working directory.

    Returns:
        An existing file.

    Raises:
        LipoError: None of them exists.
    """
    if path.is_file():
        return path
    if (sent := os.environ.get(SENT)) and (Path(sent) / path).is_file():
        return Path(sent) / path
    if path.parts[:1] == ("recipes",):
        packaged = Path(str(files("recipes"))).joinpath(*path.parts[1:])
        if packaged.is_file():
            return packaged
    raise LipoError(f"no recipe at {path}", "give the path of a YAML file, such as recipes/tiny/math.yaml")


def find_model(path: Path) -> Path:
    """Resolve a model directory: as given, else ``recipes/…`` inside the installed package; a URL's copy.

    Args:
        path: E.g. ``recipes/tiny/base``, relative to the working directory, or ``s3://bucket/base``.

    Returns:
        The directory that exists, else ``path`` itself, so that the message about it names what the user wrote.
    """
    path = fetch(path)
    if not path.exists() and path.parts[:1] == ("recipes",):
        packaged = Path(str(files("recipes"))).joinpath(*path.parts[1:])
        if packaged.is_dir():
            return packaged
    return path


def name_paths(values: Sequence[str], what: str, form: str) -> dict[str, str]:
    """Read ``NAME=PATH`` or ``PATH``, whose last part is then the name.

    Args:
        values: As given on the command line.
        what: They are, in the plural, for messages.
        form: How to write a name, for messages.

    Returns:
        Name to path, in order.

    Raises:
        LipoError: Two have the same name.
    """
    named: dict[str, str] = {}
    for value in values:
        name, separator, path = value.partition("=")
        if not separator:
            name, path = Path(value).name, value
        if name in named:
            raise LipoError(f"two {what} are called '{name}': {named[name]} and {path}", f"write {form}")
        named[name] = path
    return named
