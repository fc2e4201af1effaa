"""What a pipeline has done: ``pipeline.json``, rewritten whole after every change."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock
from typing import Literal

from lipo.common import LipoError, atomic_write
from lipo.pipeline.hashes import HashCache
from lipo.pipeline.stage import Stage

FORMAT = 1
Word = Literal["done", "to do", "unfinished", "changed", "damaged", "waits"]


@dataclass(frozen=True)
class Record:
    """One stage's last run.

    Attributes:
        inputs: Hash or value of every input when it began.
        outputs: Hash of every file of the outputs when it ended; empty while it has not.
        seconds: Wall time of the attempt that finished it.
    """

    inputs: dict[str, str]
    outputs: dict[str, str]
    seconds: float = 0.0


@dataclass(frozen=True)
class Status:
    """Where a stage stands.

    Attributes:
        word: ``done``; ``to do``: never begun; ``unfinished``: begun with these inputs; ``changed``: run with other
            inputs; ``damaged``: its outputs are no longer what it made; ``waits``: for another stage.
        reason: In words, e.g. which inputs changed.
    """

    word: Word
    reason: str = ""


class State:
    """The records of all stages, on disk."""

    def __init__(self, path: Path, hashes: HashCache) -> None:
        """Read the file, if it is there.

        Raises:
            LipoError: It is damaged, or from another version.
        """
        self.path, self.hashes = path, hashes
        self._records: dict[str, Record] = {}
        self._lock = Lock()
        if not path.exists():
            return
        try:
            content = json.loads(path.read_text("utf-8"))
            if content["format"] != FORMAT:
                raise ValueError(f"format {content['format']}")
            self._records = {str(name): Record(**record) for name, record in content["stages"].items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise LipoError(
                f"{path} is no state of a pipeline ({error})", "remove it: finished stages are recognised or run again"
            ) from error

    def get(self, stage: Stage) -> Record | None:
        """Look up a stage's record."""
        return self._records.get(stage.name)

    def begin(self, stage: Stage, inputs: Mapping[str, str]) -> None:
        """Note, before the work, what a stage starts from."""
        self._put(stage, Record(dict(inputs), {}))

    def finish(self, stage: Stage, inputs: Mapping[str, str], seconds: float) -> None:
        """Note what a stage has made.

        Raises:
            LipoError: An output is missing.
        """
        self._put(stage, Record(dict(inputs), self.outputs(stage), round(seconds, 1)))

    def outputs(self, stage: Stage) -> dict[str, str]:
        """Hash every file of a stage's outputs.

        Raises:
            LipoError: An output is missing.
        """
        return {str(file): self.hashes.content(file) for path in stage.outputs for file in self.hashes.files(path)}

    def _put(self, stage: Stage, record: Record) -> None:
        with self._lock:
            self._records[stage.name] = record
            content = {"format": FORMAT, "stages": {name: asdict(r) for name, r in self._records.items()}}
            with atomic_write(self.path) as file:
                json.dump(content, file, indent=1)
                file.write("\n")


def status(stage: Stage, inputs: Mapping[str, str], state: State) -> Status:
    """Say where one stage stands whose needs are all finished."""
    record = state.get(stage)
    if record is None:
        made = [path for path in stage.owns if path.exists()]
        if made and not stage.belongs():
            return Status("changed", f"{made[0]} was made with other settings")
        return Status("to do")
    if record.inputs != dict(inputs):
        names = sorted(k for k in {*record.inputs, *inputs} if record.inputs.get(k) != inputs.get(k))
        return Status("changed", "other " + ", ".join(names))
    if not record.outputs:
        return Status("unfinished")
    if missing := [path for path in stage.outputs if not path.exists()]:
        return Status("unfinished", f"{missing[0]} is gone")
    # Files that somebody has added are no damage.
    for name, digest in record.outputs.items():
        if not Path(name).is_file():
            # What is left of a directory would be taken for the whole by the stage.
            return Status("damaged", f"{name} is gone")
        if state.hashes.content(Path(name)) != digest:
            return Status("damaged", f"{name} was changed by something else")
    return Status("done")


def examine(stages: Sequence[Stage], state: State) -> dict[str, Status]:
    """Say where every stage stands, without doing anything.

    Args:
        stages: In an order in which each comes after its needs.
        state: Of the pipeline.

    Returns:
        Name → status, in the given order.
    """
    found: dict[str, Status] = {}
    for stage in stages:
        waiting = [name for name in stage.needs if found[name].word != "done"]
        if waiting:
            found[stage.name] = Status("waits", f"for {', '.join(waiting)}")
        else:
            found[stage.name] = status(stage, stage.inputs(), state)
    return found
