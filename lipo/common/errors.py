"""The one exception type for mistakes a user can correct."""

from __future__ import annotations


class LipoError(Exception):
    """Something the user can put right: what is wrong, where, and what to do.

    The command line prints it in two lines and exits with status 2; it shows a traceback only with ``--debug``.

    Args:
        what: What is wrong and where (file, key, tensor, row), in one sentence.
        fix: What to do about it, in one sentence.

    Example:
        >>> raise LipoError("no model at ./base", "create it or correct 'model' in the recipe")
        Traceback (most recent call last):
        ...
        lipo.common.errors.LipoError: no model at ./base; create it or correct 'model' in the recipe
    """

    def __init__(self, what: str, fix: str) -> None:
        """Keep both halves apart for the command line."""
        super().__init__(f"{what}; {fix}")
        self.what = what
        self.fix = fix

    def __reduce__(self) -> tuple[type[LipoError], tuple[str, str]]:
        """Let the error cross process borders (Ray) unharmed."""
        return type(self), (self.what, self.fix)
