"""Shows what is copied from and to remote stores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lipo.common.storage import OnBytes, probe, stage, url_of

if TYPE_CHECKING:
    from lipo.common.storage import Destination


def fetch(place: str | Path) -> Path:
    """Make a place local: a URL is copied into the cache with a progress bar, a path is returned."""
    url = url_of(place)
    if url is None:
        return stage(place)
    with _bar(f"reading {url}") as update:
        return stage(place, update)


def require_there(places: Iterable[str | Path]) -> None:
    """Refuse URLs with nothing behind them, before anything is copied; local paths are left to the checks.

    Raises:
        LipoError: The first such URL.
    """
    for url in dict.fromkeys(url_of(place) for place in places):
        if url and not url.startswith("hdfs://"):
            probe(url)


def send(destination: Destination) -> None:
    """Send a finished output with a progress bar."""
    with _bar(f"sending to {destination.url}") as update:
        destination.send(update)


@contextmanager
def _bar(text: str) -> Iterator[OnBytes]:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    console = Console(stderr=True)
    columns = (TextColumn(escape(text)), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        row = bar.add_task("copy", total=None)
        yield lambda done, total: bar.update(row, completed=done, total=total)
