"""Runs pip with a line of progress, and turns its failures into one clear sentence."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

_HEARTBEAT = 15.0  # Seconds between lines where the output is no terminal.
_NETWORK = re.compile(
    "NewConnectionError|NameResolutionError|name resolution|Network is unreachable|ConnectTimeout|Read timed out|"
    "ProxyError|Max retries exceeded|Connection refused|Connection reset|SSLError"
)
_MISSING = re.compile("No matching distribution found for (.+)")
# Where a constraint names the same package, pip reports a conflict instead of a missing distribution.
_CONFLICT = re.compile("Cannot install (.+?) because these package versions have conflicting dependencies")


class PipError(Exception):
    """Pip failed.

    Attributes:
        fix: What the user can do.
        missing: The requirement that no index has, where that was the reason.
        unreachable: Whether the package index could not be reached.
        touched: Whether pip had begun to change the environment.
    """

    def __init__(self, what: str, fix: str, *, missing: str = "", unreachable: bool = False, touched: bool = False):
        super().__init__(what)
        self.fix, self.missing, self.unreachable, self.touched = fix, missing, unreachable, touched

    @property
    def absent(self) -> bool:
        """Whether the requirement could not be had here, so that another source is worth a try."""
        return self.unreachable or bool(self.missing)


def explain(output: str, log: Path) -> PipError:
    """Find out from pip's output why it failed.

    Args:
        output: Everything pip printed.
        log: Where the user can read it.
    """
    touched = "Installing collected packages" in output
    missing = _MISSING.search(output)
    if "No space left on device" in output or "Errno 28" in output:
        return PipError("the disk is full", "free some space and run the command again", touched=touched)
    if _NETWORK.search(output):
        return PipError(
            "the package index cannot be reached",
            "check the network, the proxy (HTTPS_PROXY) and pip's index settings, then run the command again",
            missing=missing[1].strip() if missing else "",
            unreachable=True,
            touched=touched,
        )
    if missing:
        name = missing[1].strip()
        return PipError(
            f"pip's package index has no {name} for this Python and machine",
            "use an index that has it (pip config, PIP_INDEX_URL) on Linux with glibc 2.28 or newer",
            missing=name,
            touched=touched,
        )
    conflict = _CONFLICT.search(output)
    if conflict and "(constraint)" in output:
        name = conflict[1].strip()
        return PipError(
            f"pip can install no {name}: its index has none, or a constraint rules it out",
            "loosen the constraint in pip's configuration (pip config list, PIP_CONSTRAINT), or add an index with it",
            missing=name,
            touched=touched,
        )
    errors = [line for line in output.splitlines() if line.startswith("ERROR")] or output.splitlines()[-5:]
    return PipError("pip failed: " + " / ".join(errors), f"read {log}, then run the command again", touched=touched)


class _Progress:
    """Shows what pip is doing: one changing line on a terminal, a line every 15 seconds elsewhere."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.doing = "starting"
        self.start = time.monotonic()
        self.stop = threading.Event()
        self.terminal = sys.stdout.isatty()
        self.thread = threading.Thread(target=self._beat, daemon=True)

    def _line(self) -> str:
        return f"  {self.title}: {self.doing} ({time.monotonic() - self.start:.0f} s)"

    def _beat(self) -> None:
        while not self.stop.wait(1.0 if self.terminal else _HEARTBEAT):
            print(f"\r\x1b[K{self._line()[:110]}" if self.terminal else self._line(), end="", flush=True)
            if not self.terminal:
                print(flush=True)

    def __enter__(self) -> _Progress:
        self.thread.start()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.stop.set()
        self.thread.join()
        self.doing = "done"
        if isinstance(error, PipError):
            self.doing = "not available" if error.absent else "failed"
        elif error is not None:
            self.doing = "interrupted"
        print(("\r\x1b[K" if self.terminal else "") + self._line(), flush=True)

    def feed(self, line: str) -> None:
        """Take in one line of pip's output."""
        word, _, rest = line.strip().partition(" ")
        if word == "Downloading":
            size = re.search(r"\([^()]*B\)$", rest)
            self.doing = f"downloading {rest.split('-')[0]} {size[0] if size else ''}".rstrip()
        elif word == "Collecting":
            self.doing = f"collecting {re.split('[^A-Za-z0-9._-]', rest)[0]}"
        elif line.startswith("Installing collected packages"):
            self.doing = f"unpacking {line.count(',') + 1} packages"


def run(python: Path, arguments: list[str], title: str, log: Path) -> None:
    """Run ``pip install`` and wait for it.

    Args:
        python: The environment's interpreter.
        arguments: What follows ``pip install``.
        title: How the progress line names this step.
        log: File that pip's output is added to.

    Raises:
        PipError: Pip ended with an error; the message names the reason.
    """
    scratch = log.parent / "tmp"  # Beside the environment: /tmp is often too small for wheels of hundreds of MB.
    scratch.mkdir(exist_ok=True)
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONHOME", "PYTHONPATH")}
    environment |= {"PIP_USER": "0", "PIP_NO_INPUT": "1", "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}
    environment |= {"TMPDIR": str(scratch), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    command = [str(python), "-m", "pip", "install", "--progress-bar=off", *arguments]
    lines = []
    with log.open("a", encoding="utf-8") as file, _Progress(title) as progress:
        file.write("$ " + " ".join(command) + "\n")
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        )
        try:
            for line in process.stdout or ():
                lines.append(line)
                file.write(line)
                progress.feed(line)
            status = process.wait()
        except BaseException:
            # Ctrl-C reaches pip too, which cleans up; a SIGTERM to this script alone does not.
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(15)
            process.kill()
            raise
        if status:
            raise explain("".join(lines), log)
