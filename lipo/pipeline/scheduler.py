"""Runs the stages of a pipeline: in order of their needs, several at a time where allowed, skipping what is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from threading import Event as Cancelled
from typing import Literal

from lipo.common import LipoError
from lipo.pipeline.stage import Stage
from lipo.pipeline.state import State, status

_POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Event:
    """News of one stage.

    Attributes:
        stage: Its name.
        what: ``skipped``: nothing to do; ``set aside``: results of other inputs were renamed; ``started``;
            ``finished``; ``failed``.
        seconds: Wall time of a finished stage.
        detail: What was set aside and why, or the error.
    """

    stage: str
    what: Literal["skipped", "set aside", "started", "finished", "failed"]
    seconds: float = 0.0
    detail: str = ""


OnEvent = Callable[[Event], None]


def run(stages: Sequence[Stage], state: State, on_event: OnEvent = lambda _: None, slots: int = 1) -> None:
    """Bring every stage up to date.

    A stage whose inputs and outputs are as its last run left them is skipped. One that was interrupted runs again and
    continues. Where the inputs have changed, what the stage owns is renamed to ``<name>.replaced-<n>`` first, and so
    are outputs that were tampered with: nothing is lost, nothing old is taken for new. When a stage fails, those
    beside it end in peace, and no new ones begin; an interruption stops all of them.

    Args:
        stages: In any order.
        state: What earlier runs have done; updated.
        on_event: Receives the news, with several slots from other threads.
        slots: Stages at a time. With one, everything happens in the calling thread.

    Raises:
        LipoError: A stage needs an unknown one or itself; or from a stage.
    """
    order = arrange(stages)
    if slots == 1:
        never = Cancelled()
        for stage in order:
            _bring_up_to_date(stage, state, on_event, never)
        return
    _run_in_threads(order, state, on_event, slots)


def arrange(stages: Sequence[Stage]) -> list[Stage]:
    """Order stages so that each comes after its needs, otherwise as given.

    Raises:
        LipoError: Two of one name, an unknown need, or a circle.
    """
    known = {stage.name: stage for stage in stages}
    if len(known) < len(stages):
        names = [stage.name for stage in stages]
        raise LipoError(f"two stages are called '{next(n for n in names if names.count(n) > 1)}'", "rename one")
    for stage in stages:
        if unknown := [name for name in stage.needs if name not in known]:
            raise LipoError(f"stage '{stage.name}' needs '{unknown[0]}', which does not exist", "correct 'needs'")
    ordered: list[Stage] = []
    placed: set[str] = set()
    while len(ordered) < len(stages):
        ready = [s for s in stages if s.name not in placed and placed.issuperset(s.needs)]
        if not ready:
            left = ", ".join(name for name in known if name not in placed)
            raise LipoError(f"the stages {left} need each other in a circle", "correct 'needs'")
        ordered.append(ready[0])
        placed.add(ready[0].name)
    return ordered


def _run_in_threads(order: Sequence[Stage], state: State, on_event: OnEvent, slots: int) -> None:
    cancelled = Cancelled()
    finished: set[str] = set()
    waiting = list(order)
    running: dict[Future[None], Stage] = {}
    error: BaseException | None = None
    with ThreadPoolExecutor(slots) as pool:
        try:
            while running or (waiting and error is None):
                ready = [s for s in waiting if finished.issuperset(s.needs)][: slots - len(running)]
                for stage in ready if error is None else ():
                    waiting.remove(stage)
                    running[pool.submit(_bring_up_to_date, stage, state, on_event, cancelled)] = stage
                done, _ = wait(running, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
                for future in done:
                    stage = running.pop(future)
                    problem = future.exception()
                    if problem is None:
                        finished.add(stage.name)
                    error = error or problem
        except BaseException:
            cancelled.set()
            raise
    if error is not None:
        raise error


def _bring_up_to_date(stage: Stage, state: State, on_event: OnEvent, cancelled: Cancelled) -> None:
    inputs = stage.inputs()
    now = status(stage, inputs, state)
    if now.word == "done":
        on_event(Event(stage.name, "skipped"))
        return
    if now.word in ("changed", "damaged"):
        for path in stage.owns if now.word == "changed" else set(stage.owns).intersection(stage.outputs):
            if path.exists():
                on_event(Event(stage.name, "set aside", detail=f"{path} → {_set_aside(path).name} ({now.reason})"))
    started = time.monotonic()
    state.begin(stage, inputs)
    on_event(Event(stage.name, "started"))
    try:
        stage.run(cancelled)
        state.finish(stage, inputs, time.monotonic() - started)
    except LipoError as error:
        on_event(Event(stage.name, "failed", detail=str(error)))
        raise
    on_event(Event(stage.name, "finished", time.monotonic() - started))


def _set_aside(path: Path) -> Path:
    number = 1
    while (target := path.with_name(f"{path.name}.replaced-{number}")).exists():
        number += 1
    path.rename(target)
    return target
