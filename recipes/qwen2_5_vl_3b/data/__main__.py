"""Make the training files of the Qwen2.5-VL-3B recipes from the public sources.

    python -m recipes.qwen2_5_vl_3b.data --out runs/qwen2_5_vl_3b/data --benchmarks DIR \
        --source mmk12=DIR --source geometry3k=hiyouga/geometry3k --source plotqa=DIR ...

A source is a directory with the source's own files, or the name of a Hugging Face dataset, which is fetched. An
interrupted run continues; files that are finished are kept while nothing that they depend on has changed.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from lipo.common import LipoError, atomic_write, only_one
from lipo.common.config import nearest
from recipes.qwen2_5_vl_3b.data.build import Part, choose, look, write
from recipes.qwen2_5_vl_3b.data.checks import check_licence
from recipes.qwen2_5_vl_3b.data.files import state_of
from recipes.qwen2_5_vl_3b.data.leaks import LeakIndex, read_benchmarks
from recipes.qwen2_5_vl_3b.data.sources import SOURCES

SIZES = {"math": 15_000, "structured": 15_000, "ocr": 10_000}
"""Questions per task [paper]."""
VALIDATION = 500
LIMIT = 60_000
"""Questions of one source to look at: four times what one source could have to give."""
SEED = 20251010


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and make what is missing."""
    options = _parser().parse_args(arguments)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        with only_one(options.out / ".lock", f"making data in {options.out}"):
            _make(options)
    except LipoError as error:
        print(f"error: {error.what}\n  fix: {error.fix}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m recipes.qwen2_5_vl_3b.data",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, help="directory of the parquet files")
    parser.add_argument("--source", action="append", default=[], metavar="NAME=DIR", help=", ".join(SOURCES))
    parser.add_argument("--benchmarks", type=Path, help="directory of the benchmarks' files, whose items are left out")
    parser.add_argument("--without-leak-check", action="store_true", help="there are no benchmarks to look at")
    parser.add_argument("--accept-licence", action="append", default=[], metavar="NAME", help="a licence you accept")
    parser.add_argument("--seed", type=int, default=SEED, help=f"of the choice; {SEED} unless given")
    parser.add_argument("--validation", type=int, default=VALIDATION, help="validation questions per task")
    parser.add_argument("--limit", type=int, default=LIMIT, help="questions of one source to look at, chosen by seed")
    for task, size in SIZES.items():
        parser.add_argument(f"--{task}", type=int, default=size, help=f"training questions; {size:,} unless given")
    return parser


def _make(options: argparse.Namespace) -> None:
    directories = _directories(options.source)
    licences = {n: check_licence(SOURCES[n], path, options.accept_licence) for n, path in directories.items()}
    if options.benchmarks is None and not options.without_leak_check:
        raise LipoError("no benchmarks to keep out of the training data", "give --benchmarks, or --without-leak-check")
    leaks, asked = LeakIndex(), dict[str, int]()
    if options.benchmarks is not None:
        if not options.benchmarks.is_dir():
            raise LipoError(f"no directory {options.benchmarks} of benchmarks", "correct --benchmarks")
        leaks, asked = read_benchmarks(options.benchmarks)
    states = {name: state_of(path) for name, path in directories.items()}
    work = options.out / ".work"
    work.mkdir(exist_ok=True)
    report: dict[str, Any] = {"seed": options.seed, "licences": licences, "benchmarks": asked, "tasks": {}}
    for task in SIZES:
        sources = {n: path for n, path in directories.items() if SOURCES[n].task == task}
        if not sources:
            continue
        looks = {
            n: look(SOURCES[n], path, states[n], leaks, work, _print, seed=options.seed, limit=options.limit)
            for n, path in sources.items()
        }
        choice = choose(looks, getattr(options, task), options.validation, options.seed)
        written = {}
        for split, chosen in (("train", choice.train), ("validation", choice.validation)):
            path = options.out / f"{task}_{split}.parquet"
            parts = [Part(SOURCES[n], sources[n], states[n], chosen[n]) for n in sorted(sources)]
            if not _is_made(path, parts, options.out):
                write(path, parts, split, work, _print)
                _note(path, parts, options.out)
            written[split] = sum(map(len, chosen.values()))
        report["tasks"][task] = {"rows": written, "sources": {n: dict(c) for n, c in choice.counts.items()}}
    with atomic_write(options.out / "report.json") as file:
        json.dump(report, file, indent=1, sort_keys=True)
        file.write("\n")
    _summarise(report, options)


def _directories(values: list[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for value in values:
        name, separator, place = value.partition("=")
        if not separator or not place:
            raise LipoError(f"--source {value} has no place", "write --source NAME=DIR")
        if name not in SOURCES:
            raise LipoError(f"no source is called '{name}'", nearest(name, list(SOURCES)))
        if name in found:
            raise LipoError(f"source '{name}' is given twice", "leave one out")
        found[name] = Path(place) if Path(place).is_dir() else _fetch(name, place)
    if not found:
        raise LipoError("no sources", f"give --source NAME=DIR for some of {', '.join(SOURCES)}")
    return found


def _fetch(name: str, place: str) -> Path:
    """Get a Hugging Face dataset by name; files only, nothing of it is run."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    home = SOURCES[name].home
    if place.count("/") != 1 or place.startswith((".", "/")):
        raise LipoError(f"no directory {place} for source '{name}'", f"get it from {home}")
    try:
        return Path(snapshot_download(place, repo_type="dataset"))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise LipoError(f"cannot fetch {place} for source '{name}': {reason}", f"get it by hand from {home}") from error


def _identity(parts: list[Part]) -> dict[str, str]:
    return {part.source.name: part.digest for part in parts}


def _notes(path: Path, out: Path) -> Path:
    return out / ".work" / f"{path.stem}.chosen.json"


def _is_made(path: Path, parts: list[Part], out: Path) -> bool:
    try:
        return path.is_file() and json.loads(_notes(path, out).read_text("utf-8")) == _identity(parts)
    except (OSError, ValueError):
        return False


def _note(path: Path, parts: list[Part], out: Path) -> None:
    with atomic_write(_notes(path, out)) as file:
        json.dump(_identity(parts), file)


def _print(what: str, count: int) -> None:
    print(f"{what}: {count:,}", flush=True)


def _summarise(report: dict, options: argparse.Namespace) -> None:
    for task, part in report["tasks"].items():
        print(f"{task}: {part['rows']['train']:,} for training, {part['rows']['validation']:,} for validation")
        if part["rows"]["train"] < getattr(options, task):
            print(f"  fewer than the {getattr(options, task):,} wanted: the sources have no more")
        if options.validation and not part["rows"]["validation"]:
            print(f"  no {task}_validation.parquet: too few pictures to set some apart")
        for name, counts in part["sources"].items():
            print(f"  {name}: " + ", ".join(f"{count:,} {reason}" for reason, count in sorted(counts.items())))
    if missing := [name for name, count in report["benchmarks"].items() if not count]:
        print(f"not checked against {', '.join(missing)}: no file of theirs in {options.benchmarks}")


if __name__ == "__main__":
    sys.exit(main())
