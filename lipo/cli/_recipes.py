"""Finds recipe files in a checkout or in the installed package."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from lipo.common import LipoError


def find_recipe(path: Path) -> Path:
    """Resolve a recipe path: as given, else ``recipes/…`` inside the installed package.

    Args:
        path: E.g. ``recipes/tiny/math.yaml``; relative to the working directory.

    Returns:
        An existing file.

    Raises:
        LipoError: Neither exists.
    """
    if path.is_file():
        return path
    if path.parts[:1] == ("recipes",):
        packaged = Path(str(files("recipes"))).joinpath(*path.parts[1:])
        if packaged.is_file():
            return packaged
    raise LipoError(f"no recipe at {path}", "give the path of a YAML file, such as recipes/tiny/math.yaml")


def find_model(path: Path) -> Path:
    """Resolve a model directory: as given, else ``recipes/…`` inside the installed package.

    Args:
        path: E.g. ``recipes/tiny/base``; relative to the working directory.

    Returns:
        The directory that exists, else ``path`` itself, so that the message about it names what the user wrote.
    """
    if not path.exists() and path.parts[:1] == ("recipes",):
        packaged = Path(str(files("recipes"))).joinpath(*path.parts[1:])
        if packaged.is_dir():
            return packaged
    return path
