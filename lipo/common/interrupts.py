"""Makes sure that Ctrl-C arrives, wherever the interpreter happens to be."""

from __future__ import annotations

import signal
import sys
import threading
from types import TracebackType
from typing import Any, Protocol

_DELAY_SECONDS = 0.05


class _Unraisable(Protocol):
    exc_type: type[BaseException]
    exc_value: BaseException | None
    exc_traceback: TracebackType | None
    err_msg: str | None
    object: Any


def deliver_interrupts() -> None:
    """Raise a ``KeyboardInterrupt`` again where Python has dropped it.

    A signal that comes while a weak reference's callback or a ``__del__`` runs, as happens throughout imports, raises
    its ``KeyboardInterrupt`` there, and Python only reports it (``sys.unraisablehook``): the program goes on as if
    nothing had been pressed. From then on it is raised once more, a moment later, until it arrives.

    Example:
        >>> deliver_interrupts()
        >>> sys.unraisablehook = sys.__unraisablehook__
    """
    previous = sys.unraisablehook

    def hook(unraisable: _Unraisable) -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            # Not from here: what is raised in this hook is dropped as well. To the thread itself, to end its sleep.
            main = threading.main_thread().ident
            timer = threading.Timer(_DELAY_SECONDS, signal.pthread_kill, (main, signal.SIGINT))
            timer.daemon = True
            timer.start()
        else:
            previous(unraisable)  # type: ignore[arg-type]

    sys.unraisablehook = hook
