"""Turns a pipeline file into stages: data, trainings, merge, evaluation, report."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from rich.console import Console

from lipo.cli._recipes import find_model, find_recipe
from lipo.cli._storage import require_there
from lipo.common import LipoError, load_yaml
from lipo.common.storage import require_local
from lipo.pipeline import HashCache, PipelineConfig, Stage

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from eval import EvalConfig, Results
    from merge import MergeConfig

_DATA_MODULE = re.compile(r"recipes(\.\w+)+")
# Where things lie and what runs them does not change what comes out; files count by their content instead.
_PLACES = (
    "data.train_files",
    "data.val_files",
    "actor_rollout_ref.model.path",
    "trainer.default_local_dir",
    "trainer.logger",
    "lipo.export",
    "ray_kwargs",
)


@dataclass
class Recipes:
    """All recipes of a pipeline, read and composed."""

    config: PipelineConfig
    trainings: list[DictConfig]
    merging: MergeConfig | None
    evaluation: EvalConfig | None


def read_recipes(config: PipelineConfig) -> Recipes:
    """Read and compose every recipe, so that a mistake in the last one costs nothing.

    Raises:
        LipoError: A recipe or an override is wrong, two trainings share a name or a directory, or the data module is
            not one of ``recipes``.
    """
    from lipo.cli._training import fetch_inputs, input_places
    from lipo.cli.evaluate import find_inputs
    from lipo.cli.merge import load_recipe
    from lipo.training import compose

    if config.data is not None and not _DATA_MODULE.fullmatch(config.data):
        raise LipoError(f"data is '{config.data}'", "name a module below recipes, such as recipes.tiny.make_data")
    joining = [f"++ray_kwargs.ray_init.address={config.address}"] if config.address else []
    overrides = [*config.training_overrides, *joining]
    require_local(config.out, "out of the pipeline")
    trainings = [compose(find_recipe(path), overrides, find_model) for path in config.training]
    for what in ("experiment_name", "default_local_dir"):
        values = [str(training.trainer[what]) for training in trainings]
        if twice := next((v for v in values if values.count(v) > 1), None):
            raise LipoError(f"two trainings have trainer.{what}={twice}", "give each its own")
    for training in trainings:
        if not training.get("lipo", {}).get("export"):
            raise LipoError(f"training '{training.trainer.experiment_name}' has no lipo.export", "name a directory")
        require_local(training.lipo.export, "lipo.export in a pipeline")
    places: list[str | Path] = [place for training in trainings for place in input_places(training)]
    merging = evaluation = None
    if config.merge:
        merging = load_recipe(find_recipe(config.merge), config.merge_overrides)
        require_local(merging.out, "out of the merge in a pipeline")
        places += [merging.base, *merging.experts.values()]
    if config.eval:
        from eval import EvalConfig

        evaluation = load_yaml(EvalConfig, find_recipe(config.eval), config.eval_overrides)
        places += [*evaluation.models.values(), *(b.source for b in evaluation.benchmarks.values() if b.source)]
    # All before the first long copy.
    require_there(places)
    trainings = [fetch_inputs(training) for training in trainings]
    if merging:
        merging = replace(
            merging,
            base=find_model(merging.base),
            experts={name: find_model(path) for name, path in merging.experts.items()},
            address=config.address or merging.address,
        )
    if evaluation:
        evaluation = replace(find_inputs(evaluation), address=config.address or evaluation.address)
    return Recipes(config, trainings, merging, evaluation)


def check_recipes(recipes: Recipes) -> None:
    """Refuse, before the first long stage, what would fail in a later one; the pipeline's own data must be there.

    Not what the machine lacks: that matters only to trainings that are not done.

    Raises:
        LipoError: A model, a data file or a benchmark is missing that no stage makes, or a recipe's settings are wrong.
    """
    import eval as evaluation
    import merge
    from lipo.training import check

    for training in recipes.trainings:
        check(training, room=False)
    later = {Path(training.lipo.export).absolute() for training in recipes.trainings}
    if recipes.merging:
        merge.check(recipes.merging, later)
        later.add(recipes.merging.out.absolute())
    if recipes.evaluation:
        evaluation.check(recipes.evaluation, later)


def data_stage(config: PipelineConfig, hashes: HashCache) -> list[Stage]:
    """Make the stage of the data, if the pipeline makes any."""
    if config.data is None:
        return []
    data = config.out / "data"
    command = [sys.executable, "-m", config.data, "--out", str(data), *config.data_options]

    def run(_: Event) -> None:
        result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (ours, no shell)
        if result.returncode:
            last = (result.stderr.strip().splitlines() or ["no message"])[-1]
            raise LipoError(f"the data could not be made: {last}", "correct data_options or free disk space")

    options = json.dumps([config.data, *config.data_options])
    return [Stage("data", lambda: {"options": options}, (data,), run, owns=(data,))]


class Stages:
    """The stages after the data, and what they find out.

    Args:
        recipes: From :func:`read_recipes`.
        hashes: Of files.
        console: For progress bars.
        first: Names of stages that everything needs.
    """

    def __init__(self, recipes: Recipes, hashes: HashCache, console: Console, first: tuple[str, ...] = ()) -> None:
        """Keep what the stages need."""
        self._recipes, self._hashes, self._console, self._first = recipes, hashes, console, first
        self._results: Results | None = None
        self._makers = {Path(training.lipo.export): self.name(training) for training in recipes.trainings}

    @staticmethod
    def name(training: DictConfig) -> str:
        """Name the stage of a training."""
        return f"training {training.trainer.experiment_name} ({training.algorithm.adv_estimator})"

    def all(self) -> list[Stage]:
        """List the stages in order."""
        stages = [self._training(training) for training in self._recipes.trainings]
        if self._recipes.merging:
            stages.append(self._merge(self._recipes.merging))
        if self._recipes.evaluation:
            stages += self._evaluation(self._recipes.evaluation)
        return stages

    def results(self) -> Results:
        """Figures of the evaluation; from disk where nothing was left to do."""
        import eval as evaluation

        assert self._recipes.evaluation is not None  # noqa: S101 - asked for only with an evaluation
        if self._results is None:
            self._results = evaluation.run(self._recipes.evaluation)
        return self._results

    def _training(self, config: DictConfig) -> Stage:
        export, directory = Path(config.lipo.export), Path(config.trainer.default_local_dir)

        def inputs() -> dict[str, str]:
            found = {"settings": json.dumps(_settings(config), sort_keys=True)}
            for key in ("train_files", "val_files"):
                files = config.data[key]
                for number, file in enumerate([files] if isinstance(files, str) else files):
                    found[f"data.{key}[{number}]"] = file if "://" in file else self._hashes.content(Path(file))
            model = Path(config.actor_rollout_ref.model.path)
            found["model"] = self._hashes.model(model) if model.is_dir() else str(model)
            return found

        def run(cancelled: Event) -> None:
            from lipo.cli._training import run_with_progress

            run_with_progress(config, self._console, cancelled)

        def belongs() -> bool:
            from lipo.training.export import SETTINGS
            from lipo.training.settings import require_same

            try:
                for file in (export / SETTINGS, directory / "config.yaml"):
                    if file.parent.exists():
                        require_same(file, config, "")
            except LipoError:
                return False
            return True

        return Stage(self.name(config), inputs, (export,), run, self._first, (export, directory), belongs)

    def _merge(self, config: MergeConfig) -> Stage:
        settings = _plain(config, "base", "experts", "out", "workers", "address")
        needs = self._needs(config.experts.values())

        def inputs() -> dict[str, str]:
            experts = {f"expert {name}": self._hashes.model(path) for name, path in config.experts.items()}
            return {"settings": settings, "base": self._hashes.model(config.base), **experts}

        def run(_: Event) -> None:
            from lipo.cli.merge import print_summary, run_with_bar

            print_summary(run_with_bar(config, self._console), self._console)

        def belongs() -> bool:
            from merge import build_plan
            from merge.manifest import is_complete

            return is_complete(build_plan(config))

        return Stage(f"merge ({config.method})", inputs, (config.out,), run, needs, (config.out,), belongs)

    def _evaluation(self, config: EvalConfig) -> list[Stage]:
        from eval.benchmarks import resolve_benchmark

        settings = _plain(config, "models", "benchmarks", "out", "address")
        needs = self._needs(config.models.values())
        results = config.out / "results.json"

        def inputs() -> dict[str, str]:
            found = {"settings": settings}
            for label, path in config.models.items():
                found[f"model {label}"] = self._hashes.model(path)
            for name, benchmark in config.benchmarks.items():
                found[f"benchmark {name}"] = _plain(benchmark, "source", "image_root")
                source = resolve_benchmark(name, benchmark, config.data_dir).source
                found[f"questions {name}"] = self._hashes.content(source) if source else ""
            return found

        def run(_: Event) -> None:
            from lipo.cli.evaluate import run_with_progress

            self._results = run_with_progress(config, self._console)

        def write(_: Event) -> None:
            from eval.report import write_report

            write_report(self.results(), config.out, training_curves=self._curves())

        def report_inputs() -> dict[str, str]:
            return {"results": self._hashes.content(results), "curves": json.dumps(self._curves(), sort_keys=True)}

        report = (config.out / "report.html", config.out / "report.md")
        return [
            Stage("evaluation", inputs, (results,), run, needs),
            Stage("report", report_inputs, report, write, ("evaluation",)),
        ]

    def _curves(self) -> dict[str, Any]:
        from lipo.training import read_history

        curves = {}
        for training in self._recipes.trainings:
            history = read_history(Path(training.trainer.default_local_dir) / "metrics")
            curves[str(training.trainer.experiment_name)] = [
                {"step": entry.step, "response_length": entry.response_length, "score": entry.score}
                for entry in history
            ]
        return curves

    def _needs(self, paths: Any) -> tuple[str, ...]:
        """Names of the stages that make these models."""
        makers = dict(self._makers)
        if self._recipes.merging:
            makers[self._recipes.merging.out.absolute()] = f"merge ({self._recipes.merging.method})"
        needed = [makers[path.absolute()] for path in paths if path.absolute() in makers]
        return (*self._first, *needed)


def _settings(config: Any) -> dict[str, Any]:
    """The part of a training's configuration that decides its result."""
    from omegaconf import OmegaConf

    copy = OmegaConf.create(OmegaConf.to_container(config, resolve=True))
    for key in _PLACES:
        OmegaConf.update(copy, key, None, force_add=True)
    plain: dict[str, Any] = json.loads(json.dumps(OmegaConf.to_container(copy)))
    return plain


def _plain(config: Any, *left_out: str) -> str:
    """A config dataclass as text, without some of its fields."""
    values = {k: v for k, v in dataclasses.asdict(config).items() if k not in left_out}
    return json.dumps(values, sort_keys=True, default=str)
