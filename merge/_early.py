"""Hashes the inputs while torch loads, which keeps one core busy for more than a second."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from merge.config import MergeConfig

_PROGRAM = Path(__file__).with_name("_hash_files.py")


class EarlyHashes(contextlib.ExitStack):
    """SHA-256 of files from a process that ends with the ``with`` block; what it does not manage is left to others."""

    def __init__(self, files: Sequence[Path]) -> None:
        """Start with the first of ``files``."""
        super().__init__()
        self._files, self._output = files, b""
        self._process: subprocess.Popen[bytes] | None = None
        if files:
            # Isolated and without site-packages: it starts in a few milliseconds.
            command = [sys.executable, "-I", "-S", str(_PROGRAM), *map(str, files)]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
            with contextlib.suppress(OSError):
                self._process = self.enter_context(subprocess.Popen(command, bufsize=0, **pipes))  # type: ignore[call-overload] # noqa: S603
                self.callback(self._process.kill)

    def claim(self) -> set[Path]:
        """Begin no further file; return those that are done or begun."""
        if self._process is None:
            return set()
        assert self._process.stdin and self._process.stdout  # noqa: S101 - for mypy
        self._process.stdin.close()
        os.set_blocking(self._process.stdout.fileno(), False)
        self._output = self._process.stdout.read() or b""
        os.set_blocking(self._process.stdout.fileno(), True)
        self._process.poll()
        return {self._files[int(words[0])] for words in self._lines()}

    def results(self) -> dict[Path, str]:
        """Wait for the end; return the hashes of the files it could read."""
        if self._process is None:
            return {}
        assert self._process.stdout  # noqa: S101 - for mypy
        self._output += self._process.stdout.read()
        return {self._files[int(words[0])]: words[1].decode() for words in self._lines() if len(words) == 2}

    def _lines(self) -> list[list[bytes]]:
        return [line.split() for line in self._output.splitlines(keepends=True) if line.endswith(b"\n")]


def hash_early(config: MergeConfig) -> EarlyHashes:
    """Hash the weights of base and experts as far as they are safetensors, unless torch is loaded already."""
    if "torch" in sys.modules:
        return EarlyHashes(())
    folders = dict.fromkeys(path.absolute() for path in (config.base, *config.experts.values()))
    return EarlyHashes([file for folder in folders for file in sorted(folder.glob("*.safetensors"))])
