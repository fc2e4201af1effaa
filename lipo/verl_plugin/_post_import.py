"""Runs a function right after a module is imported, so that the plug-in costs nothing where the module is not used."""

from __future__ import annotations

import importlib.abc
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

_Action = Callable[[ModuleType], None]


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self) -> None:
        self.pending: dict[str, list[_Action]] = {}

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in self.pending:
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(name, path, target)
            if spec is not None and spec.loader is not None:
                self._wrap(spec.loader)
                return spec
        return None

    def _wrap(self, loader: importlib.abc.Loader) -> None:
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            # Only now: who asks for a spec need not import.
            for action in self.pending.pop(module.__name__, ()):
                action(module)

        loader.exec_module = exec_module  # type: ignore[method-assign]


_finder = _Finder()


def when_imported(name: str, action: _Action) -> None:
    """Call ``action(module)`` once ``name`` has been imported: at once if it is already there.

    Args:
        name: Full module name.
        action: Receives the module. Its exceptions surface at the import of ``name``.
    """
    module = sys.modules.get(name)
    if module is not None:
        action(module)
        return
    _finder.pending.setdefault(name, []).append(action)
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
