"""Content hashes of files and directories, kept while name, size and time of change stay the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from pathlib import Path
from threading import Lock

from lipo.common import LipoError, atomic_write, sha256_file

VOLATILE = frozenset({"manifest.json", "README.md", "training_config.yaml"})
"""Accompany a model, tell of times and places, and change nothing that it says."""


class HashCache:
    """Hashes of files by their path.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "a.txt").write_text("a")
        ...     HashCache(Path(folder) / "cache.json").content(Path(folder) / "a.txt")[:8]
        'ca978112'
    """

    def __init__(self, path: Path, read_only: bool = False) -> None:
        """Read what is known.

        Args:
            path: JSON file of the cache; need not exist. A broken one counts as empty.
            read_only: Write nothing.
        """
        self._path, self._read_only = path, read_only
        self._lock = Lock()
        try:
            known = json.loads(path.read_text("utf-8"))
            self._known = {str(k): (int(v[0]), int(v[1]), str(v[2])) for k, v in known.items()}
        except (OSError, ValueError, TypeError, AttributeError, IndexError, KeyError):
            self._known = {}

    def content(self, path: Path, ignored: Collection[str] = ()) -> str:
        """Hash a file's bytes, or a directory's file names and bytes.

        Args:
            path: File or directory. In a directory, hidden files and those of the names in ``ignored`` do not count.
            ignored: File names.

        Returns:
            64 hexadecimal digits; equal exactly for equal content, wherever it lies.

        Raises:
            LipoError: Nothing is there.
        """
        files = self.files(path)
        if files == [path]:
            return self._file(path)
        digest = hashlib.sha256()
        for file in files:
            if file.name not in ignored:
                digest.update(f"{file.relative_to(path).as_posix()}\0{self._file(file)}\n".encode())
        return digest.hexdigest()

    def files(self, path: Path) -> list[Path]:
        """List a directory's files, but for hidden ones, or the file itself.

        Raises:
            LipoError: Nothing is there.
        """
        if path.is_file():
            return [path]
        if not path.is_dir():
            raise LipoError(f"nothing at {path}", "correct the path, or run the stage that makes it")
        files = sorted(p for p in path.rglob("*") if p.is_file())
        return [p for p in files if not any(part.startswith(".") for part in p.relative_to(path).parts)]

    def model(self, path: Path) -> str:
        """Hash a model directory without what accompanies the model, see :data:`VOLATILE`."""
        return self.content(path, VOLATILE)

    def _file(self, path: Path) -> str:
        state, key = path.stat(), str(path.absolute())
        known = self._known.get(key)
        if known and known[:2] == (state.st_size, state.st_mtime_ns):
            return known[2]
        digest = sha256_file(path)
        with self._lock:
            self._known[key] = (state.st_size, state.st_mtime_ns, digest)
            if not self._read_only:
                with atomic_write(self._path) as file:
                    json.dump(self._known, file, indent=0)
        return digest
