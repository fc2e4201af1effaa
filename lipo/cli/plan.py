"""``lipo plan``: whether a training fits its GPUs, and how long it takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from lipo.cli._recipes import find_model, find_recipe
from lipo.common import LipoError
from lipo.planning.time import OVERSAMPLING

if TYPE_CHECKING:
    from lipo.planning import Gpu, Memory, ModelShape, Settings, StepTime

_GB = 1e9


def plan(
    recipe: Annotated[Path, typer.Argument(help="Training recipe, such as recipes/qwen2_5_vl_3b/math.yaml.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="Hydra overrides, such as profile=1x80gb.")] = None,
    gpu: Annotated[str | None, typer.Option(help="GPU, such as h100-80gb; by default the recipe's lipo.gpu.")] = None,
    mean_prompt: Annotated[float, typer.Option(min=1, help="Mean tokens of a prompt, image included.")] = 600,
    mean_response: Annotated[float, typer.Option(min=1, help="Mean tokens of a response.")] = 350,
    oversampling: Annotated[
        float, typer.Option(min=1, help="Responses written for one that is kept, where dynamic sampling drops groups.")
    ] = OVERSAMPLING,
) -> None:
    """Estimate memory and time of a training from parameter counts; starts nothing.

    Says whether it fits, and if not, which overrides would make it fit. Exit status 1 if it does not fit.
    """
    from lipo.planning import advise, estimate_memory, estimate_time, find_gpu, read_settings, read_shape
    from lipo.planning.advice import fits
    from lipo.training import compose

    config = compose(find_recipe(recipe), overrides or [], find_model)
    if config.trainer.device == "cpu":
        raise LipoError("this recipe runs on CPUs, where a tiny model's memory is that of the processes: about 8 GB",
                        "give a recipe or profile for GPUs, such as profile=1x80gb")  # fmt: skip
    name = gpu or config.get("lipo", {}).get("gpu")
    if not name:
        raise LipoError("the recipe names no GPU", "give --gpu, such as --gpu a100-80gb")
    card = find_gpu(name)
    shape, settings = read_shape(config.actor_rollout_ref.model.path), read_settings(config)
    memory = estimate_memory(shape, settings, card.memory)
    time = estimate_time(shape, settings, card, memory, mean_prompt, mean_response, oversampling)
    console = Console()
    fitting = fits(shape, settings, card.memory)
    _print_memory(console, shape, settings, card, name, memory)
    _print_time(console, settings, time, mean_prompt, mean_response, oversampling)
    console.print("[green]fits[/]" if fitting else "[red]does not fit[/]", highlight=False)
    if not fitting:
        advice = advise(shape, settings, card.memory)
        for proposal in advice:
            console.print(f"  {proposal.peak / _GB:.0f} GB with: {' '.join(proposal.overrides)}", markup=False,
                          highlight=False, soft_wrap=True)  # fmt: skip
        if not advice:
            console.print("  only more or larger GPUs, or a smaller model, would help", highlight=False)
        raise typer.Exit(1)


def _print_memory(
    console: Console, shape: ModelShape, settings: Settings, card: Gpu, name: str, memory: Memory
) -> None:
    console.print(
        f"{shape.parameters / 1e9:.2f} billion parameters on {settings.gpus} × {name} "
        f"({card.memory / _GB:.0f} GB each, {settings.nodes} machine(s))",
        highlight=False,
    )
    table = Table("GB per GPU", *(phase.name for phase in memory.phases))
    for part in dict.fromkeys(part for phase in memory.phases for part in phase.parts):
        cells = [f"{phase.parts[part] / _GB:.1f}" if part in phase.parts else "" for phase in memory.phases]
        table.add_row(part, *cells)
    table.add_section()
    sums = [f"{phase.total / _GB:.1f}" for phase in memory.phases]
    over = [phase.total > card.memory for phase in memory.phases]
    table.add_row("sum", *(f"[red]{text}[/]" if bad else text for text, bad in zip(sums, over, strict=True)))
    console.print(table)
    console.print(
        f"main memory of a machine: {memory.host / _GB:.0f} GB; disk for checkpoints: {memory.disk / _GB:.0f} GB; "
        f"vLLM's cache holds {memory.kv_tokens / settings.max_model_len:.0f} responses of full length per GPU",
        highlight=False,
        soft_wrap=True,
    )


def _print_time(
    console: Console, settings: Settings, time: StepTime, prompt: float, response: float, oversampling: float
) -> None:
    drawn = f"{oversampling:g} times as many drawn, " if settings.dynamic_sampling else ""
    console.print(
        f"a step of {settings.batch} × {settings.responses} responses ({drawn}{prompt:.0f} + {response:.0f} tokens "
        f"each): about {time.total:.0f} s ({time.generation:.0f} generation, {time.log_probs:.0f} log-probabilities, "
        f"{time.update:.0f} update); {settings.steps} steps: {time.total * settings.steps / 3600:.1f} hours",
        highlight=False,
        soft_wrap=True,
    )
