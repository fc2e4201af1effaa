"""One step of a pipeline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Event


@dataclass(frozen=True)
class Stage:
    """Work from inputs to outputs, both known by their content.

    Attributes:
        name: Unique within the pipeline.
        inputs: Everything that decides the result, as name → hash or value; called when all ``needs`` are finished.
        outputs: Files and directories that exist exactly when the work is done.
        run: Does the work; continues what it left unfinished, returns at once where all is done. Gets an event that
            is set when it should stop, by raising an exception.
        needs: Names of the stages whose outputs are among the inputs.
        owns: What belongs to one set of inputs and is set aside when these change: the outputs, and working
            directories a later run would continue in. Empty for a stage that recognises changed inputs by itself.
        belongs: Whether what lies in ``owns``, made by hand and so unknown to the pipeline, has come from these inputs.
    """

    name: str
    inputs: Callable[[], Mapping[str, str]]
    outputs: tuple[Path, ...]
    run: Callable[[Event], None]
    needs: tuple[str, ...] = ()
    owns: tuple[Path, ...] = ()
    belongs: Callable[[], bool] = lambda: True
