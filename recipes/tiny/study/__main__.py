"""Run a study, or only redraw it from its JSON."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from lipo.common import LipoError, load_yaml
from recipes.tiny.study import runs as steps
from recipes.tiny.study.collect import collect
from recipes.tiny.study.config import Study, check
from recipes.tiny.study.files import write_figures, write_pages
from recipes.tiny.study.picture import picture
from recipes.tiny.study.provenance import provenance
from recipes.tiny.study.render import markdown


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m recipes.tiny.study", description=__doc__)
    parser.add_argument("recipe", type=Path, help="YAML file, such as recipes/tiny/studies/lengths.yaml")
    parser.add_argument("overrides", nargs="*", help="key=value, such as seeds=[1] tasks=[math] jobs=2")
    parser.add_argument("--render", action="store_true", help="only write table and picture anew from the JSON")
    options = parser.parse_args()
    try:
        study = load_yaml(Study, options.recipe, options.overrides)
        trainings = check(study)
        if not options.render:
            run(study, trainings)
            described = provenance("recipes.tiny.study", options.recipe, options.overrides, study)
            write_figures(study.results, described | collect(study, trainings))
        write_pages(study.results, markdown, picture)
    except LipoError as error:
        sys.exit(f"error: {error.what}\n  fix: {error.fix}")
    except KeyboardInterrupt:
        sys.exit("interrupted; the same command continues")


def run(study: Study, trainings: list) -> None:
    """Data, trainings, evaluations."""
    steps.make_data(study)
    steps.train_cold_start(study)
    steps.train_all(study, trainings)
    for seed in study.seeds:
        for task in study.tasks:
            steps.evaluate(study, trainings, task, seed)


if __name__ == "__main__":
    main()
