"""Remote files: inputs are copied into a cache and outputs sent when whole; either is complete or recognisably not."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lipo.common._remote import Entry, Remote, require_local, url_of
from lipo.common._web import Web
from lipo.common.errors import LipoError
from lipo.common.files import atomic_write, only_one, require_free_space, sync_directory

__all__ = ["MARKER", "Destination", "cache_directory", "probe", "require_local", "stage", "url_of"]

MARKER = ".lipo-upload.json"
"""Says of a folder that LIPO has sent whether it is whole, and which files it has."""
_LAST = ("config.json", "manifest.json")
_BLOCK = 1 << 22
_SPARE = 64 << 20

OnBytes = Callable[[int, int], None]
"""Called with bytes done and bytes in all."""


def cache_directory() -> Path:
    """Where copies of remote files lie: ``$LIPO_CACHE``, else ``lipo`` below ``$XDG_CACHE_HOME`` or ``~/.cache``."""
    given = os.environ.get("LIPO_CACHE")
    return Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lipo"


def stage(place: str | Path, on_bytes: OnBytes | None = None) -> Path:
    """Make a remote file or folder a local one.

    The copy is named after the URL and its content's marks (ETag, else size and time): changed objects get a new copy,
    unchanged ones are not read again. It appears when whole; interrupted, the next call continues with the next file.

    Args:
        place: URL, or a local path, which is returned as it is.
        on_bytes: Told how far it is.

    Returns:
        Local path.

    Raises:
        LipoError: Nothing is there, the store refuses, an upload to it was not finished, it changes while it is read,
            or the disk is too small.

    Example:
        >>> stage("runs/base")
        PosixPath('runs/base')
        >>> stage("s3://bucket/models/math")  # doctest: +SKIP
        PosixPath('/home/me/.cache/lipo/s3/bucket/models/math@0f4c1f2a9d3b5e67')
    """
    url = url_of(place)
    if url is None:
        return Path(re.sub("^file:/+", "/", str(place)))
    remote = _open(url)
    entries, single = _whole(remote), remote.is_file()
    scheme, _, rest = url.partition("://")
    mark = hashlib.sha256(json.dumps([url, _plain(entries)]).encode()).hexdigest()[:16]
    final = (cache_directory() / scheme / f"{rest}@{mark}").absolute()
    result = final / rest.rpartition("/")[2] if single else final
    if final.is_dir():
        return result
    final.parent.mkdir(parents=True, exist_ok=True)
    with (final.parent / f".{final.name}.lock").open("w") as lock:
        # Whoever stages the same waits here, and then finds it done.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not final.is_dir():
            work = final.parent / f".{final.name}.partial"
            _download(remote, entries, single, work, on_bytes or (lambda *_: None))
            if _whole(remote) != entries:
                shutil.rmtree(work)
                raise LipoError(f"{url} changed while it was read", "run the command again when it is at rest")
            os.rename(work, final)
            sync_directory(final.parent)
    return result


def probe(url: str) -> None:
    """Make sure that there is something to read, without reading it.

    Args:
        url: From :func:`url_of`.

    Raises:
        LipoError: Nothing is there, the store refuses, or an upload to it was not finished.
    """
    _whole(_open(url))


def _open(url: str) -> Remote:
    return Web(url) if url.startswith(("http://", "https://")) else Remote(url)


def _plain(entries: Mapping[str, Entry]) -> dict[str, Any]:
    return {name: asdict(entry) for name, entry in entries.items()}


def _whole(remote: Remote) -> dict[str, Entry]:
    """List what is there, and believe a folder's marker, where it has one."""
    entries = remote.list()
    if not entries:
        raise LipoError(f"nothing at {remote.url}", remote.advice)
    if entries.pop(MARKER, None) is None:
        return entries
    marker = _read_marker(remote)
    sizes = {name: entry.size for name, entry in entries.items()}
    if not marker.whole or any(sizes.get(name) != size for name, size in marker.files.items()):
        raise LipoError(f"{remote.url} is not whole: its upload was not finished", "repeat the command that sent it")
    return entries


def _download(remote: Remote, entries: Mapping[str, Entry], single: bool, work: Path, on_bytes: OnBytes) -> None:
    for torn in work.rglob(".*.tmp"):
        torn.unlink()
    missing = [name for name, entry in entries.items() if not _has(work / name, entry.size)]
    total = sum(entry.size for entry in entries.values())
    done = total - sum(entries[name].size for name in missing)
    require_free_space(work, total - done + _SPARE, f"the copy of {remote.url}")
    for name in missing:
        before = done
        with remote.reading(None if single else name) as source, atomic_write(work / name, "wb") as file:
            while block := source.read(_BLOCK):
                file.write(block)
                done += len(block)
                on_bytes(done, total)
            if done - before != entries[name].size:
                raise LipoError(f"{remote.url} changed while it was read", "run the command again when it is at rest")


def _has(file: Path, size: int) -> bool:
    return file.is_file() and file.stat().st_size == size


@dataclass(frozen=True)
class _Marker:
    """Content of :data:`MARKER`: who sends, whether all is sent, and sizes by name."""

    sender: str
    whole: bool
    files: dict[str, int]


def _read_marker(remote: Remote) -> _Marker:
    with remote.reading(MARKER) as stream:
        data = stream.read(1 << 20)
    try:
        content = json.loads(data)
        files = {str(name): int(size) for name, size in content["files"].items()}
        return _Marker(str(content["sender"]), content["whole"] is True, files)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise LipoError(f"{remote.url}/{MARKER} is damaged", "remove that folder, or choose another") from None


class Destination:
    """A remote folder that a local directory is sent to.

    The local directory stays, so that the command that made it finds its work done when it is repeated.

    Args:
        url: From :func:`url_of`.
        directory: Local directory; by default one in the cache.

    Example:
        >>> destination = Destination("s3://bucket/merged")  # doctest: +SKIP
        >>> destination.claim()  # doctest: +SKIP
        >>> destination.send()  # doctest: +SKIP
    """

    def __init__(self, url: str, directory: Path | None = None) -> None:
        """Name the place; nothing is sent or written yet."""
        self.url, self._remote = url, _open(url)
        name = f"{url.rpartition('/')[2]}@{hashlib.sha256(url.encode()).hexdigest()[:16]}"
        self.directory = (directory or cache_directory() / "out" / name).absolute()
        """Where the content is to be made."""
        # Lies beside the directory, so that another machine that sees it may continue, and one that does not may not.
        self._identity = self.directory.parent / f".{self.directory.name}.sender"
        self._sender = self._identity.read_text("utf-8") if self._identity.is_file() else uuid.uuid4().hex[:16]

    def claim(self) -> None:
        """Make sure before the work that the folder is ours and can be written; mark it as unfinished.

        Raises:
            LipoError: It holds something else, somebody else is sending to it, or the store refuses.
        """
        entries = self._remote.list()
        if MARKER in entries:
            marker = _read_marker(self._remote)
            if marker.whole and marker.sender == self._sender and self.directory.is_dir():
                return
            if marker.whole or marker.sender != self._sender:
                state = "is there already" if marker.whole else "is being sent from elsewhere, or was"
                raise LipoError(f"{self.url} {state}", "choose another 'out', or remove that folder")
        elif entries:
            raise LipoError(f"{self.url} is not empty", "choose another 'out', or empty that folder")
        # In this order: a mark without its identity would shut us out as well.
        with atomic_write(self._identity) as file:
            file.write(self._sender)
        self._mark(whole=False, files={})

    def send(self, on_bytes: OnBytes | None = None) -> None:
        """Send the directory: weights first, then what makes it a model, then the mark that it is whole.

        Files that an interrupted call has sent are not sent again.

        Args:
            on_bytes: Told how far it is.

        Raises:
            LipoError: The store refuses, or another process is sending it.
        """
        report = on_bytes or (lambda *_: None)
        files = sorted(p for p in self.directory.rglob("*") if p.is_file())
        names = sorted((p.relative_to(self.directory).as_posix() for p in files), key=_order)
        sizes = {name: (self.directory / name).stat().st_size for name in names}
        with only_one(self.directory.parent / f".{self.directory.name}.lock", f"sending to {self.url}"):
            journal = self.directory.parent / f".{self.directory.name}.sent.json"
            sent = _read_journal(journal)
            there = self._remote.list()
            marker = _read_marker(self._remote) if MARKER in there else None
            left = [name for name in names if name not in sent or there.get(name) != sent[name]]
            if not left and marker == _Marker(self._sender, True, sizes):
                return
            self._mark(whole=False, files=sizes)
            total = sum(sizes.values())
            done = total - sum(sizes[name] for name in left)
            for name in left:
                with (self.directory / name).open("rb") as source, self._remote.writing(name) as target:
                    while block := source.read(_BLOCK):
                        target.write(block)
                        done += len(block)
                        report(done, total)
                sent[name] = self._remote.entry(name)
                with atomic_write(journal) as file:
                    json.dump(_plain(sent), file)
            self._mark(whole=True, files=sizes)

    def _mark(self, whole: bool, files: Mapping[str, int]) -> None:
        with self._remote.writing(MARKER) as stream:
            stream.write(json.dumps({"sender": self._sender, "whole": whole, "files": dict(files)}).encode())


def _order(name: str) -> tuple[int, str]:
    return (_LAST.index(name) + 1 if name in _LAST else 0, name)


def _read_journal(path: Path) -> dict[str, Entry]:
    try:
        return {name: Entry(**entry) for name, entry in json.loads(path.read_text("utf-8")).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
