"""Run a study of merging, or only redraw it from its JSON."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from lipo.common import LipoError, load_yaml
from lipo.common.interrupts import deliver_interrupts
from recipes.tiny.merge_study import runs as steps
from recipes.tiny.merge_study.collect import collect
from recipes.tiny.merge_study.config import MergeStudy, check, kept_file, settings
from recipes.tiny.merge_study.render import markdown, picture
from recipes.tiny.study.files import write_figures, write_pages
from recipes.tiny.study.kept import keep, kept
from recipes.tiny.study.provenance import provenance


def main() -> None:
    """Parse the command line and run."""
    deliver_interrupts()
    parser = argparse.ArgumentParser(prog="python -m recipes.tiny.merge_study", description=__doc__)
    parser.add_argument("recipe", type=Path, help="YAML file, such as recipes/tiny/studies/merging.yaml")
    parser.add_argument("overrides", nargs="*", help="key=value, such as seeds=[1]")
    parser.add_argument("--render", action="store_true", help="only write table and picture anew from the JSON")
    options = parser.parse_args()
    try:
        study = load_yaml(MergeStudy, options.recipe, options.overrides)
        if not options.render:
            figures = run(study)
            described = provenance("recipes.tiny.merge_study", options.recipe, options.overrides, study)
            write_figures(study.results, described | figures)
        write_pages(study.results, markdown, picture)
    except LipoError as error:
        sys.exit(f"error: {error.what}\n  fix: {error.fix}")
    except KeyboardInterrupt:
        sys.exit("interrupted; the same command continues")


def run(study: MergeStudy) -> dict:
    """Data; per seed all merges, the choice of scales on validation items, and the comparison on held-out ones."""
    measured = {seed: kept(kept_file(study, seed), settings(study, seed)) for seed in study.seeds}
    left = [seed for seed, seen in measured.items() if seen is None]
    check(study, left)
    print(f"{len(study.seeds)} seeds, {len(study.seeds) - len(left)} measured before", flush=True)
    if left:
        steps.make_data(study)
    for number, seed in enumerate(left, 1):
        print(f"seed {number} of {len(left)}: {seed}", flush=True)
        steps.evaluate(study, "validation", seed, steps.merge_all(study, seed))
        scales = steps.choose_scales(study, seed)
        print(f"scales: {json.dumps(scales)}", flush=True)
        steps.evaluate(study, "test", seed, steps.compared(study, seed, scales))
        keep(kept_file(study, seed), settings(study, seed), steps.measure(study, seed, scales))
    return collect(study, {seed: kept(kept_file(study, seed), settings(study, seed)) or {} for seed in study.seeds})


if __name__ == "__main__":
    main()
