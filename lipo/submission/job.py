"""Builds the job: entry point, environment and working directory."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import lipo
from lipo.common import LipoError
from lipo.submission.working_dir import EXCLUDES

COMMANDS = ("run", "train", "merge", "eval")
"""Commands that can be jobs."""
SENT = "LIPO_SENT"
"""Environment variable of a job: where the copy of the working directory is, in which recipes name each other."""
_NAME = re.compile(r"[A-Z_][A-Z0-9_]*", re.IGNORECASE | re.ASCII)
_JOINS = {"run": "address=auto", "merge": "address=auto", "eval": "address=auto"}
"""What makes a command use the job's own cluster; verl joins it by itself."""


@dataclass(frozen=True)
class Job:
    """What Ray is given.

    Attributes:
        entrypoint: Shell command.
        runtime_env: Ray's runtime environment.
        metadata: Shown in the dashboard.
    """

    entrypoint: str
    runtime_env: dict[str, Any]
    metadata: dict[str, str]


def command_for(recipe: Path) -> str:
    """Tell by a recipe's keys which command it belongs to.

    Args:
        recipe: YAML file.

    Returns:
        One of :data:`COMMANDS`.

    Raises:
        LipoError: Not YAML, of supervised training, which is no job, or nobody's.
    """
    import yaml

    try:
        content = yaml.safe_load(recipe.read_text("utf-8")) or {}
        keys = set(content)
    except (yaml.YAMLError, OSError, UnicodeDecodeError, TypeError) as error:
        raise LipoError(f"cannot read {recipe}: {' '.join(str(error).split())}", "correct the file") from error
    if isinstance(content, dict) and "sft_trainer_engine" in str(content.get("defaults", "")):
        raise LipoError(f"{recipe} trains on one machine, without Ray", f"run 'lipo sft {recipe}' there")
    for command, needed in (
        ("run", {"training", "out"}),
        ("train", {"defaults"}),
        ("merge", {"experts", "base"}),
        ("eval", {"models", "benchmarks"}),
    ):
        if needed <= keys:
            return command
    raise LipoError(f"{recipe} is no pipeline, training, merge or evaluation recipe", "say which with --command")


def build_job(
    command: str,
    recipe: Path,
    overrides: Sequence[str],
    *,
    root: PurePosixPath,
    working_dir: Path,
    variables: Mapping[str, str],
    secrets: Sequence[str] = (),
    excludes: Sequence[str] = (),
    python: str = "python",
) -> Job:
    """Build the job of a command.

    The job's directory on the cluster is a copy of ``working_dir`` that vanishes with the job. So the command runs in
    ``root``, where its relative paths lead to files that stay, and finds code and recipes in the copy.

    Args:
        command: One of :data:`COMMANDS`.
        recipe: Within ``working_dir``, or one of the installed package as ``recipes/…``.
        overrides: Of the recipe.
        root: Directory on the cluster that all nodes see.
        working_dir: Directory to send.
        variables: Environment variables to send; see :func:`lipo.submission.refuse_secrets`.
        secrets: Names of variables that the cluster's nodes must have themselves.
        excludes: Patterns to leave out beside the usual ones.
        python: Python with this package, on the cluster.

    Returns:
        The job.

    Raises:
        LipoError: The recipe lies outside, ``root`` is relative, or a variable's name is none.
    """
    if command not in COMMANDS:
        raise LipoError(f"no command is called '{command}'", f"use one of {', '.join(COMMANDS)}")
    if not root.is_absolute():
        raise LipoError(f"--root {root} is relative", "give an absolute path that all nodes of the cluster see")
    for name in (*variables, *secrets):
        if not _NAME.fullmatch(name):
            raise LipoError(f"'{name}' is no name of an environment variable", "write NAME=VALUE")
    place = _place(recipe, working_dir)
    words = [*overrides, *([_JOINS[command]] if command in _JOINS else [])]
    required = " ".join(f'"${{{name}:?is not set on the cluster}}"' for name in secrets)
    line = " && ".join(
        [
            *([f": {required}"] if secrets else []),
            f"mkdir -p {shlex.quote(str(root))}",
            f'export {SENT}="$PWD"',
            f"cd {shlex.quote(str(root))}",
            f'PYTHONPATH="${SENT}${{PYTHONPATH:+:$PYTHONPATH}}" exec {shlex.quote(python)} -u -m lipo.cli {command} '
            + " ".join([place, *map(shlex.quote, words)]),
        ]
    )
    return Job(
        entrypoint=line,
        runtime_env={
            "working_dir": str(working_dir.resolve()),
            "excludes": [*EXCLUDES, *excludes],
            "env_vars": {"RAY_USAGE_STATS_ENABLED": "0", **variables},
        },
        metadata={"lipo": lipo.__version__, "command": command, "recipe": recipe.as_posix()},
    )


def _place(recipe: Path, working_dir: Path) -> str:
    """Where the command will find the recipe, as a word of the shell."""
    inside = recipe.resolve()
    # One of the package's has the name of a file here that need not exist.
    if inside.is_relative_to(working_dir.resolve()) and (recipe.is_file() or recipe.parts[:1] != ("recipes",)):
        return f'"${SENT}"/' + shlex.quote(inside.relative_to(working_dir.resolve()).as_posix())
    if recipe.parts[:1] == ("recipes",):
        return shlex.quote(recipe.as_posix())
    raise LipoError(f"{recipe} is not in the working directory {working_dir}", "move it there, or give --working-dir")
