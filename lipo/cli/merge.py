"""``lipo merge``: several experts become one model."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from lipo.cli._recipes import find_model, find_recipe, name_paths
from lipo.cli._storage import require_there, send
from lipo.common import LipoError, load_yaml, parse, require_free_space, with_overrides
from lipo.common.storage import Destination, url_of

if TYPE_CHECKING:
    from merge import MergeConfig

# Below this share, rounding to 16 bits has eaten enough of a merged delta to be worth a line.
_MUCH_SURVIVED = 0.9


def merge(
    recipe: Annotated[Path | None, typer.Argument(help="YAML file, e.g. recipes/tiny/merge.yaml.")] = None,
    overrides: Annotated[
        list[str] | None, typer.Argument(help="key=value …, e.g. method=average options.scale=0.5 out=runs/average.")
    ] = None,
    base: Annotated[Path | None, typer.Option(help="Model directory or URL: what was trained on.")] = None,
    experts: Annotated[
        list[str] | None, typer.Option(help="Expert directories, one or more; for names, repeat --experts NAME=PATH.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Directory to make, or URL of one.")] = None,
    method: Annotated[str | None, typer.Option(help="Merge method.")] = None,
    option: Annotated[
        list[str] | None, typer.Option("--set", help="Option of the method as key=value; may be repeated.")
    ] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, bfloat16 or float16.")] = None,
    address: Annotated[
        str | None, typer.Option(help="Ray cluster, e.g. auto; local for worker processes; by default threads.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Tensors merged at a time.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda.")] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Load the result with transformers and vLLM and take a token from each.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything and show what would be done to which tensors.")
    ] = False,
) -> None:
    """Merge experts into one model (AMM, averages, task arithmetic, TIES …).

    With a recipe, or with flags: lipo merge --method ties --base B --experts A1 A2 A3 --out O --set density=0.2
    """
    words = [*([str(recipe)] if recipe else []), *(overrides or ())]
    flags: dict[str, Any] = {"base": base, "out": out, "method": method, "dtype": dtype}
    flags |= {"address": address, "workers": workers, "device": device}
    if not words and not experts:
        raise LipoError("Missing argument 'recipe'", "give a recipe, or --base, --experts and --out")
    config = read_config(words, experts or (), option or (), {k: v for k, v in flags.items() if v is not None})
    console = Console()
    if dry_run:
        print_plan(config, console)
        return
    result = merge_and_send(config, console)
    if verify:
        from lipo.cli._verify import verify_model

        for line in verify_model(result):
            console.print(f"verified: {line}", highlight=False, markup=False, soft_wrap=True)


def read_config(
    words: Sequence[str], experts: Sequence[str], options: Sequence[str], flags: dict[str, Any]
) -> MergeConfig:
    """Combine recipe, overrides and flags; flags win.

    Args:
        words: Positional arguments: a recipe, overrides with ``=``, and, because a flag takes one value only, the
            experts after the first one of ``--experts``.
        experts: Values of ``--experts``.
        options: Values of ``--set``.
        flags: Values of the other flags.

    Raises:
        LipoError: Words that are none of these, experts of the same name, or a config that is not valid.
    """
    from merge import MergeConfig

    recipes = [word for word in words if word.endswith((".yaml", ".yml"))]
    overrides = [word for word in words if "=" in word and word not in recipes]
    more = [word for word in words if word not in recipes and word not in overrides]
    if experts:
        flags = flags | {"experts": name_paths([*experts, *more], "experts", "--experts NAME=PATH")}
    elif more and recipes:
        raise LipoError(f"'{more[0]}' is neither a recipe nor key=value", "see 'lipo merge --help'")
    if len(recipes) > 1:
        raise LipoError(f"two recipes: {recipes[0]} and {recipes[1]}", "give one")
    overrides += [f"options.{text}" for text in options]
    for text in options:
        if "=" not in text:
            raise LipoError(f"--set {text} has no value", "write --set key=value")
    if recipes or (more and not experts):
        path = find_recipe(Path((recipes or more)[0]))
        config = load_recipe(path, overrides, flags.get("method"))
        known = {key: getattr(config, key) for key in MergeConfig.__dataclass_fields__}
        return parse(MergeConfig, known | flags | {"rules": [dataclasses.asdict(r) for r in config.rules]}, str(path))
    return parse(MergeConfig, with_overrides({}, overrides) | flags, "the command line")


def load_recipe(path: Path, overrides: Sequence[str] = (), method: str | None = None) -> MergeConfig:
    """Read a merge recipe; its options belong to its method, so that another method starts from its own defaults.

    Args:
        path: Of the recipe.
        overrides: ``key=value``.
        method: Instead of the recipe's and the overrides'; None for theirs.

    Raises:
        LipoError: The recipe or an override is wrong.
    """
    from merge import MergeConfig

    config = load_yaml(MergeConfig, path, overrides)
    config = dataclasses.replace(config, method=method or config.method)
    if config.method == load_yaml(MergeConfig, path).method:
        return config
    return dataclasses.replace(config, options=with_overrides({}, overrides).get("options", {}))


def _found(config: MergeConfig) -> MergeConfig:
    """Models under ``recipes/`` may come from the installed package, or be URLs."""
    require_there([config.base, *config.experts.values()])
    experts = {name: find_model(path) for name, path in config.experts.items()}
    return dataclasses.replace(config, base=find_model(config.base), experts=experts)


def merge_and_send(config: MergeConfig, console: Console) -> Path:
    """Merge, and send the result where ``out`` is a URL; return the local directory."""
    destination = _destination(config)
    if destination is None:
        result = run_with_bar(config, console)
        print_summary(result, console)
        return result
    destination.claim()
    result = run_with_bar(dataclasses.replace(config, out=destination.directory), console)
    print_summary(result, console)
    send(destination)
    console.print(f"{destination.url} is whole", highlight=False, markup=False, soft_wrap=True)
    return result


def _destination(config: MergeConfig) -> Destination | None:
    url = url_of(config.out)
    return Destination(url) if url else None


def run_with_bar(config: MergeConfig, console: Console) -> Path:
    """Merge with a progress bar."""
    from merge import run

    columns = (
        TextColumn("[bold]merge"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[tensors]} tensors, left:"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[step]}"),
    )
    with Progress(*columns, console=console) as bar:
        row = bar.add_task("merge", total=1.0, tensors="…", step="")
        out = run(
            _found(config),
            lambda p: bar.update(row, completed=p.fraction, tensors=f"{p.done}/{p.total}", step=p.step),
        )
        bar.update(row, completed=1.0, step="")
    return out


def print_summary(out: Path, console: Console) -> None:
    """Say what the manifest says, in a few lines."""
    summary = json.loads((out / "manifest.json").read_text("utf-8"))["summary"]
    counts = ", ".join(f"{count} {name}" for name, count in summary["tensors"].items())
    console.print(f"{out}: {counts} tensors in {summary['seconds']} s", highlight=False, markup=False)
    for key, text in (
        ("median_norm_ratio", "norm of the merged delta over the experts' mean norm"),
        ("median_expert_cosine", "cosine between two experts' deltas"),
        ("median_survived", "share of the delta that rounding to the output type left"),
    ):
        if key in summary:
            console.print(f"  {text}: {summary[key]} (median)", highlight=False, markup=False, soft_wrap=True)
    lost = sorted((share, kind) for kind, share in summary.get("survived", {}).items() if share < _MUCH_SURVIVED)
    for share, kind in lost[:5]:
        console.print(f"    only {share:.0%} in {kind}", highlight=False, markup=False, soft_wrap=True)


def print_plan(config: MergeConfig, console: Console) -> None:
    """Show what a merge would do; reads headers only."""
    from merge import build_plan
    from merge.describe import groups, peak_memory

    destination = _destination(config)
    if destination:
        config = dataclasses.replace(config, out=destination.directory)
    plan = build_plan(_found(config))
    table = Table("method", "tensors", "parameters", "which", "options")
    for group in groups(plan):
        which = ", ".join(group.examples[:3]) + (", …" if len(group.examples) > 3 else "")
        table.add_row(group.method, str(group.tensors), f"{group.parameters:,}", which, group.options)
    console.print(table)
    for note in plan.notes:
        console.print(note, highlight=False, markup=False)
    require_free_space(plan.config.out.parent, plan.size, "the merged model")
    console.print(
        f"{destination.url if destination else plan.config.out}: {plan.size / 1e6:,.1f} MB of {plan.config.dtype} "
        f"from {len(plan.experts)} experts; "
        f"up to {peak_memory(plan) / 1e6:,.0f} MB of memory per worker, beside the process. "
        "The disk has room. Nothing was written.",
        highlight=False,
        markup=False,
    )
