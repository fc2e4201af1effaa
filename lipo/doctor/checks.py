"""All checks in their order: the cheap ones first, and nothing slow where a cheap one shows that it must fail."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from lipo.common import LipoError
from lipo.doctor.finding import Finding
from lipo.doctor.machine import check_machine
from lipo.doctor.probes import check_ray, check_vllm
from lipo.doctor.software import check_device, check_python, check_versions, kind


def examine(recipe: Path, find_model: Callable[[Path], Path] = Path) -> Iterator[Finding]:
    """Check whether a training recipe would start on this machine.

    Args:
        recipe: Training recipe, e.g. ``recipes/tiny/math.yaml``.
        find_model: Resolves the recipe's model path.

    Yields:
        Findings as they come. The slow ones (Ray, vLLM: together about a minute) are left out, with a finding that
        says so, where a package is missing or unfit.
    """
    environment = kind()
    software = [check_python(platform.python_version()), *check_versions(environment)]
    yield from software
    yield from check_machine(Path.cwd())
    if any(finding.level == "fail" for finding in software):
        yield Finding("fail", "Ray, verl and vLLM were not tried", "install what is missing above, then run this again")
        return
    device = check_device(environment)
    yield device
    yield from _trial(recipe, "cpu" if environment == "cpu" else "cuda", find_model)


def _trial(recipe: Path, device: str, find_model: Callable[[Path], Path]) -> Iterator[Finding]:
    from lipo.training.compose import compose
    from lipo.training.environment import training_environment

    try:
        config = compose(recipe, [f"trainer.device={device}"], find_model)
    except LipoError as error:
        yield Finding("fail", error.what, error.fix)
        return
    yield Finding("ok", f"verl's configuration composes with {recipe}")
    with tempfile.TemporaryDirectory() as scratch:
        variables = training_environment(config, Path(scratch) / "metrics.jsonl")
    yield check_ray(variables)
    model = Path(config.actor_rollout_ref.model.path)
    yield check_vllm(
        variables, str(config.actor_rollout_ref.rollout.dtype), model if (model / "config.json").is_file() else None
    )
