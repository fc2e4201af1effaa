"""The command line: one file per command; the only package that knows all the others."""

from lipo.cli._app import main

__all__ = ["main"]
