"""Assembles the commands and turns errors into messages a user can act on."""

from __future__ import annotations

import os
import signal
import sys
from typing import Annotated, Any

import typer
from rich.console import Console

import lipo
from lipo.cli.data import data
from lipo.cli.demo import demo
from lipo.cli.doctor import doctor
from lipo.cli.evaluate import evaluate
from lipo.cli.merge import merge
from lipo.cli.plan import plan
from lipo.cli.run import run
from lipo.cli.score import score
from lipo.cli.sft import sft
from lipo.cli.submit import submit
from lipo.cli.train import train
from lipo.common import LipoError
from lipo.common.interrupts import deliver_interrupts

# BadParameter → UsageError → ClickException: click's own, or those of the copy that newer releases of typer carry.
_ClickException: Any = typer.BadParameter.__mro__[2]

app = typer.Typer(
    name="lipo",
    help="Train concise reasoning models with LIPO on verl, merge the experts with AMM, evaluate accuracy and tokens.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"lipo {lipo.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and stop.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks; may stand anywhere on the line.")] = False,
) -> None:
    """Options of every command."""


app.command("demo")(demo)
app.command("run")(run)
app.command("plan")(plan)
app.command("submit")(submit)
app.command("sft")(sft)
app.command("train")(train)
app.command("merge")(merge)
app.command("eval")(evaluate)
app.command("score")(score)
app.add_typer(data, name="data")
app.command("doctor")(doctor)


def main() -> None:
    """Run the command line; exit status 2 for a user's mistake, 130 after Ctrl-C or SIGTERM."""
    # A polite kill cleans up like Ctrl-C does: Ray's and vLLM's processes would otherwise stay behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    deliver_interrupts()
    arguments = [a for a in sys.argv[1:] if a != "--debug"]
    debug = len(arguments) < len(sys.argv) - 1 or bool(os.environ.get("LIPO_DEBUG"))
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    try:
        status = app(arguments, standalone_mode=False)
    except LipoError as error:
        if debug:
            raise
        console.print("error: ", style="bold red", end="")
        console.print(error.what, markup=False)
        console.print("  fix: ", style="bold green", end="")
        console.print(error.fix, markup=False)
        sys.exit(2)
    except _ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        status = 130
    # Without its standalone mode typer returns the status, that of Ctrl-C included, instead of exiting with it.
    if status == 130:
        console.print("interrupted; the same command continues where it stopped", style="yellow")
    if isinstance(status, int):
        sys.exit(status)
