"""Run a study, or only redraw it from its JSON."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from lipo.common import LipoError, load_yaml
from lipo.common.interrupts import deliver_interrupts
from recipes.tiny.study import runs as steps
from recipes.tiny.study.collect import collect, measure
from recipes.tiny.study.config import Study, check, everything, selected
from recipes.tiny.study.files import write_figures, write_pages
from recipes.tiny.study.kept import measured_with
from recipes.tiny.study.picture import picture
from recipes.tiny.study.provenance import provenance
from recipes.tiny.study.render import markdown


def main() -> None:
    """Parse the command line and run."""
    deliver_interrupts()
    parser = argparse.ArgumentParser(prog="python -m recipes.tiny.study", description=__doc__)
    parser.add_argument("recipe", type=Path, help="YAML file, such as recipes/tiny/studies/lengths.yaml")
    parser.add_argument("overrides", nargs="*", help="key=value, such as seeds=[1] tasks=[math] only=[dapo]")
    parser.add_argument("--render", action="store_true", help="only write table and picture anew from the JSON")
    options = parser.parse_args()
    try:
        study = selected(load_yaml(Study, options.recipe, options.overrides))
        if not options.render:
            measured = run(study)
            versions = [measured_with(steps.kept_file(study, run)) for run in everything(study)]
            described = provenance("recipes.tiny.study", options.recipe, options.overrides, study, versions)
            write_figures(study.results, described | collect(study, measured))
        write_pages(study.results, markdown, picture)
    except LipoError as error:
        sys.exit(f"error: {error.what}\n  fix: {error.fix}")
    except KeyboardInterrupt:
        sys.exit("interrupted; the same command continues")


def run(study: Study) -> dict[str, dict[str, Any]]:
    """Data, trainings, evaluations; what has been measured before, here or elsewhere, is not done again.

    Returns:
        What was measured, by name, of every training and of the models beside them.
    """
    trainings, runs = check(study), everything(study)
    left = [run for run in runs if steps.measured(study, run) is None]
    print(f"{len(runs)} models with the base, {len(runs) - len(left)} measured before", flush=True)
    if left:
        steps.make_data(study)
        steps.train_cold_start(study)
    steps.train_all(study, [run for run in left if run in trainings])
    for task, seed in dict.fromkeys((run.task, run.seed) for run in left):
        steps.evaluate(study, left, task, seed)
        for run in left:
            if (run.task, run.seed) == (task, seed):
                steps.keep_measured(study, run, measure(study, run))
    return {run.name: steps.measured(study, run) or {} for run in runs}


if __name__ == "__main__":
    main()
