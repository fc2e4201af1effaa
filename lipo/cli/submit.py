"""``lipo submit``: a command as a job of a Ray cluster."""

from __future__ import annotations

import asyncio
import os
import shlex
import time
import uuid
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from lipo.cli._recipes import find_recipe
from lipo.common import LipoError

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

    from lipo.submission import Job

_POLL_SECONDS = 1.0
_AGENT_SECONDS = 120.0
_FINAL = ("SUCCEEDED", "FAILED", "STOPPED")


def submit(
    recipe: Annotated[Path, typer.Argument(help="YAML file of a pipeline, training, merge or evaluation.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="Overrides of the recipe.")] = None,
    address: Annotated[
        str, typer.Option(help="Of the cluster's dashboard.", envvar="RAY_API_SERVER_ADDRESS")
    ] = "http://127.0.0.1:8265",
    root: Annotated[
        str, typer.Option(help="Directory on the cluster, seen by all nodes, that relative paths start from.")
    ] = "",
    command: Annotated[
        str | None, typer.Option(help="run, train, merge or eval; by default told by the recipe.")
    ] = None,
    working_dir: Annotated[Path, typer.Option(help="Directory to send; data, weights and results stay.")] = Path(),
    env: Annotated[list[str] | None, typer.Option(help="NAME=VALUE for the job; no secrets.")] = None,
    secret: Annotated[
        list[str] | None, typer.Option(help="Name of a variable that the cluster's nodes must have themselves.")
    ] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="Pattern of files not to send.")] = None,
    python: Annotated[str, typer.Option(help="Python on the cluster that has this package.")] = "python",
    follow: Annotated[bool, typer.Option(help="Show the job's output until it ends.")] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be sent; send nothing.")] = False,
) -> None:
    """Send a command to a Ray cluster as a job, show its output, and say how to stop and resume it.

    Ctrl-C ends the watching, not the job. Exit status 1 if the job fails.
    """
    from lipo.submission import build_job, check_size, command_for, refuse_secrets
    from lipo.submission.working_dir import EXCLUDES

    if not root:
        raise LipoError("no --root", "give a directory that all nodes of the cluster see, such as --root /shared/lipo")
    variables = dict(_pair(text) for text in env or ())
    refuse_secrets([str(recipe), *(overrides or ())], variables, os.environ)
    kind = command or command_for(find_recipe(recipe))
    excludes = tuple(exclude or ())
    job = build_job(kind, recipe, overrides or (), root=PurePosixPath(root), working_dir=working_dir,
                    variables=variables, secrets=secret or (), excludes=excludes, python=python)  # fmt: skip
    size = check_size(working_dir, (*EXCLUDES, *excludes))
    console = Console(soft_wrap=True, highlight=False)
    if dry_run:
        console.print(f"would send {size / 1e6:.1f} MB of {working_dir.resolve()} to {address} and run", markup=False)
        console.print(job.entrypoint, markup=False)
        return
    client = _connect(address)
    name = f"lipo-{kind}-{recipe.stem}-{uuid.uuid4().hex[:8]}"
    _send(client, job, name)
    console.print(f"job {name} at {address}", markup=False)
    console.print(f"  stop:   ray job stop --address {address} {name}", markup=False)
    console.print(f"  watch:  ray job logs --address {address} --follow {name}", markup=False)
    console.print(f"  resume: the same command again ({_again(kind, recipe, overrides or ())})", markup=False)
    if not follow:
        return
    try:
        _watch(client, name, console)
    except KeyboardInterrupt:
        console.print(f"the job goes on; it is stopped by: ray job stop --address {address} {name}", markup=False)
        raise typer.Exit(0) from None
    _finish(client, name, console)


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise LipoError(f"--env {name} has no value", "write --env NAME=VALUE")
    return name, value


def _again(kind: str, recipe: Path, overrides: list[str] | tuple[str, ...]) -> str:
    return "lipo submit " + shlex.join([recipe.as_posix(), *overrides]) + f" …: '{kind}' continues where it stopped"


def _connect(address: str) -> JobSubmissionClient:
    _use_token()
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobSubmissionClient

    try:
        return JobSubmissionClient(address)
    except AuthenticationError as error:
        raise LipoError(
            f"the cluster at {address} asks for a token that is not here, or is another",
            "put the head's ~/.ray/auth_token into yours, or set RAY_AUTH_TOKEN_PATH",
        ) from error
    except (ConnectionError, RuntimeError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise LipoError(
            f"no Ray dashboard at {address}: {reason}",
            "start it with 'ray start --head --include-dashboard=true', or forward port 8265 of the head",
        ) from error


def _send(client: JobSubmissionClient, job: Job, name: str) -> None:
    """Submit; a head that has only just started answers before its job agent is there."""
    end = time.monotonic() + _AGENT_SECONDS
    while True:
        try:
            client.submit_job(
                entrypoint=job.entrypoint, runtime_env=job.runtime_env, metadata=job.metadata, submission_id=name
            )
            return
        except (ConnectionError, RuntimeError, OSError, ValueError) as error:
            if "No available agent" not in str(error) or time.monotonic() > end:
                reason = " ".join(str(error).split())[-300:]
                raise LipoError(
                    f"the cluster does not take the job: {reason}",
                    "look at dashboard_agent.log in the head's session folder; where another Ray holds port 52365, "
                    "start the head with 'ray start --dashboard-agent-listen-port=PORT'",
                ) from error
            time.sleep(_POLL_SECONDS)


def _use_token() -> None:
    """Show Ray's token where there is one: a head asks for it by default, but clients send it only when told to."""
    places = (os.environ.get("RAY_AUTH_TOKEN_PATH"), "~/.ray/auth_token")
    if os.environ.get("RAY_AUTH_TOKEN") or any(place and Path(place).expanduser().is_file() for place in places):
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def _watch(client: JobSubmissionClient, name: str, console: Console) -> None:
    async def follow() -> None:
        async for lines in client.tail_job_logs(name):
            console.out(lines, end="", highlight=False)

    asyncio.run(follow())


def _finish(client: JobSubmissionClient, name: str, console: Console) -> None:
    while str(getattr(info := client.get_job_info(name), "status", "")).rpartition(".")[2] not in _FINAL:
        time.sleep(_POLL_SECONDS)
    status = str(info.status).rpartition(".")[2]
    console.print(f"job {name} {status.lower()}", markup=False)
    if status != "SUCCEEDED":
        if info.message:
            console.print(f"  {' '.join(info.message.split())[-500:]}", markup=False)
        raise typer.Exit(1)
