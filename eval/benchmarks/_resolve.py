"""Finds declarations and their data by name."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

from eval.benchmarks.declaration import Benchmark, load_benchmark
from eval.config import BenchmarkConfig
from lipo.common import LipoError
from lipo.common.config import nearest

DATA_VARIABLE = "LIPO_DATA"
_SUFFIXES = (".tsv", ".json", ".jsonl", ".parquet")


def _declared() -> Path:
    return Path(str(files("eval.benchmarks"))) / "declared"


def benchmark_names() -> list[str]:
    """List the declared benchmarks, sorted; ``generic`` among them."""
    return sorted(path.stem for path in _declared().glob("*.yaml"))


@functools.lru_cache(maxsize=256)
def find_declaration(name: str) -> Benchmark:
    """Load a declaration.

    Args:
        name: Of a declared benchmark, or the path of a YAML file.

    Raises:
        LipoError: There is none of that name, with the nearest one; or it is not valid.

    Example:
        >>> find_declaration("mmstar").title
        'MMStar'
    """
    if name.endswith((".yaml", ".yml")):
        return load_benchmark(Path(name))
    if name not in benchmark_names():
        raise LipoError(f"no benchmark is declared as '{name}'", nearest(name, benchmark_names()))
    return load_benchmark(_declared() / f"{name}.yaml")


def data_directory(given: Path | None = None) -> Path:
    """Where benchmark data is: as given, else ``$LIPO_DATA``, else ``data``."""
    return given or Path(os.environ.get(DATA_VARIABLE) or "data")


def data_places(name: str, benchmark: Benchmark, directory: Path) -> list[Path]:
    """List where a benchmark's data may be, best first."""
    places = [directory / benchmark.tsv.file] if benchmark.tsv else []
    places += [directory / f"{name}{suffix}" for suffix in _SUFFIXES]
    folders = _folders(name, benchmark, directory)
    return [*places, *(folder / file for folder in folders for file in benchmark.files), *folders]


def _folders(name: str, benchmark: Benchmark, directory: Path) -> list[Path]:
    """List where the data set as a whole may be."""
    hub = [benchmark.hub.name, Path(benchmark.hub.name).name] if benchmark.hub else []
    return [directory / folder for folder in dict.fromkeys([name, *hub])]


def resolve_benchmark(name: str, config: BenchmarkConfig, data_dir: Path | None = None) -> BenchmarkConfig:
    """Fill in what the declaration and the data directory decide; resolving twice changes nothing.

    A benchmark without ``source`` is a declared one of this name. One with source and scorer, but without a
    declaration, is a parquet file in verl's format, or else the generic table.

    Args:
        name: Of the benchmark in the recipe.
        config: As the recipe says.
        data_dir: Folder of benchmark data; None for ``$LIPO_DATA``, else ``data``.

    Returns:
        With ``source`` or ``hub``, ``measure``, ``declaration`` (but for verl's format), and ``scorer``, unless the
        declaration names several.

    Raises:
        LipoError: Neither a source nor a declaration; or no data, with the places looked at.
    """
    declaration, mode = config.declaration, config.mode
    if mode is None and declaration is None and "+" in name and name not in benchmark_names():
        # mvbench+reason is mvbench in the mode reason.
        name, _, mode = name.partition("+")
    if declaration is None and (
        (config.source is None and config.hub is None) or (config.scorer is None and name in benchmark_names())
    ):
        declaration = name
    if declaration is None and (config.source is None or not _is_parquet(config.source, config.format)):
        declaration = "generic"
    if declaration is None:
        return replace(config, scorer=config.scorer or "auto", measure=config.measure or "acc")
    benchmark = find_declaration(declaration)
    if mode is not None and mode not in ({"option", *benchmark.modes} if benchmark.modes else ()):
        known = ", ".join(["option", *benchmark.modes]) if benchmark.modes else "none: it has one prompt"
        raise LipoError(f"'{declaration}' has no mode '{mode}'", f"its modes are {known}")
    source, root = config.source, config.image_root
    if source is None and config.hub is None:
        stem, directory = Path(declaration).stem, data_directory(data_dir)
        source = _find_data(stem, benchmark, directory)
        # Paths in the authors' own files begin at the data set's folder.
        above = [folder for folder in _folders(stem, benchmark, directory) if source.is_relative_to(folder)]
        root = root or next(iter(above), None)
    if declaration.endswith((".yaml", ".yml")):
        declaration = str(Path(declaration).absolute())
    scorer = config.scorer or (benchmark.scorers[0].use if len(benchmark.scorers) == 1 else None)
    return replace(
        config,
        declaration=declaration,
        source=source,
        image_root=root,
        mode=mode,
        scorer=scorer,
        measure=config.measure or benchmark.measure,
    )


def _is_parquet(source: Path, kind: str | None) -> bool:
    return kind == "parquet" or (kind is None and source.suffix.lower() == ".parquet")


def _find_data(name: str, benchmark: Benchmark, directory: Path) -> Path:
    places = data_places(name, benchmark, directory)
    for place in places:
        if place.exists():
            return place
    raise LipoError(
        f"no data of '{name}' in {directory}: neither {', '.join(str(p.relative_to(directory)) for p in places)}",
        f"run 'lipo data fetch {name}', set data_dir or ${DATA_VARIABLE}, or give 'source'",
    )


def select_benchmarks(words: Sequence[str]) -> dict[str, BenchmarkConfig]:
    """Make the benchmarks of a command line.

    Args:
        words: Names of declared benchmarks, with ``+`` and a mode if wanted (``mvbench+reason``); YAML declarations;
            files or folders, which are read as the generic table or, if parquet, in verl's format; or ``NAME=FILE``.

    Returns:
        Name → configuration, in order; :func:`resolve_benchmark` finds the data.

    Raises:
        LipoError: An unknown name, or two benchmarks of one name.
    """
    selected: dict[str, BenchmarkConfig] = {}
    for word in words:
        name, separator, path = word.partition("=")
        if not separator:
            name, path = Path(word).stem, word
        if path.endswith((".yaml", ".yml")):
            config = BenchmarkConfig(declaration=path)
        elif separator or Path(path).exists() or "/" in path or "." in path:
            config = BenchmarkConfig(source=Path(path))
        else:
            find_declaration(word.partition("+")[0])
            config = BenchmarkConfig()
        if name in selected:
            raise LipoError(f"two benchmarks are called '{name}'", "write NAME=FILE")
        selected[name] = config
    return selected
