"""Run a study of merging, or only redraw it from its JSON."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from lipo.common import LipoError, load_yaml
from lipo.common.interrupts import deliver_interrupts
from recipes.tiny.merge_study import runs as steps
from recipes.tiny.merge_study.collect import collect
from recipes.tiny.merge_study.config import MergeStudy, check, experts, kept_file, other_settings, others, settings
from recipes.tiny.merge_study.render import markdown, picture
from recipes.tiny.study.files import write_figures, write_pages
from recipes.tiny.study.kept import keep, kept, measured_with
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
            files = [kept_file(study, seed, name) for name in ("seed", *study.others) for seed in study.seeds]
            versions = map(measured_with, files)
            described = provenance("recipes.tiny.merge_study", options.recipe, options.overrides, study, versions)
            write_figures(study.results, described | figures)
        write_pages(study.results, markdown, picture)
    except LipoError as error:
        sys.exit(f"error: {error.what}\n  fix: {error.fix}")
    except KeyboardInterrupt:
        sys.exit("interrupted; the same command continues")


def run(study: MergeStudy) -> dict[str, Any]:
    """Measure every seed, and the models beside the merges; what was measured before, here or elsewhere, is taken."""
    seeds = {seed: kept(kept_file(study, seed), settings(study, seed)) for seed in study.seeds}
    beside = {
        (name, seed): kept(kept_file(study, seed, name), other_settings(study, seed, name))
        for seed in study.seeds
        for name in study.others
    }
    left = [seed for seed, found in seeds.items() if found is None]
    left_beside = [key for key, found in beside.items() if found is None]
    needed = [place for seed in left for place in experts(study, seed).values()]
    check(study, [*needed, *(others(study, seed)[name] for name, seed in left_beside)])
    print(f"{len(seeds)} seeds, {len(seeds) - len(left)} measured before", flush=True)
    if left or left_beside:
        steps.make_data(study)
    for number, seed in enumerate(left, 1):
        print(f"seed {number} of {len(left)}: {seed}", flush=True)
        seeds[seed] = _measure_merges(study, seed)
    for name, seed in left_beside:
        print(f"{name}, seed {seed}", flush=True)
        beside[name, seed] = _measure_beside(study, name, seed)
    measured = {seed: found or {} for seed, found in seeds.items()}
    for (name, seed), found in beside.items():
        measured[seed]["test"][name] = (found or {})["test"]
    return collect(study, measured)


def _measure_merges(study: MergeStudy, seed: int) -> dict[str, Any]:
    """Merge, choose the scales on validation items, compare on held-out ones."""
    steps.evaluate(study, "validation", seed, steps.merge_all(study, seed))
    scales = steps.choose_scales(study, seed)
    print(f"scales: {json.dumps(scales)}", flush=True)
    steps.evaluate(study, "test", seed, steps.compared(study, seed, scales))
    measured = steps.measure(study, seed, scales)
    keep(kept_file(study, seed), settings(study, seed), measured)
    return measured


def _measure_beside(study: MergeStudy, name: str, seed: int) -> dict[str, Any]:
    steps.evaluate(study, name, seed, {name: others(study, seed)[name]})
    measured = {"test": steps.read_scores(study, name, seed, name).round(6).tolist()}
    keep(kept_file(study, seed, name), other_settings(study, seed, name), measured)
    return measured


if __name__ == "__main__":
    main()
