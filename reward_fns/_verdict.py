"""What a check says about an answer."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Status(enum.StrEnum):
    """How a comparison ended. Only :attr:`EQUAL` earns accuracy; nothing is ever guessed."""

    EQUAL = "equal"
    DIFFERENT = "different"
    UNPARSED = "unparsed"
    """No final answer was found, or what was found cannot be read."""
    TIMEOUT = "timeout"
    """The symbolic comparison was stopped: out of time or memory."""
    TOO_LONG = "too_long"
    """A static limit (length, nesting, digits, size of powers) forbids looking at it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Outcome of one check."""

    status: Status
    similarity: float
    """Graded accuracy in [0, 1]; 1.0 or 0.0 for checks that know no degrees."""

    @property
    def correct(self) -> bool:
        """Whether the answer counts as right."""
        return self.status is Status.EQUAL


_VERDICTS = {status: Verdict(status, float(status is Status.EQUAL)) for status in Status}


def verdict(status: Status) -> Verdict:
    """Return the verdict of a check that knows no degrees."""
    return _VERDICTS[status]
