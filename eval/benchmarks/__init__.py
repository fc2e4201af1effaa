"""Declared benchmarks: one YAML file each says where the data is, what is asked and how answers are judged.

>>> "mathvista" in benchmark_names(), find_declaration("mathvista").metric
(True, 'accuracy')
"""

from eval.benchmarks._resolve import (
    benchmark_names,
    data_directory,
    data_places,
    find_declaration,
    resolve_benchmark,
    select_benchmarks,
)
from eval.benchmarks.declaration import Benchmark, load_benchmark

__all__ = [
    "Benchmark",
    "benchmark_names",
    "data_directory",
    "data_places",
    "find_declaration",
    "load_benchmark",
    "resolve_benchmark",
    "select_benchmarks",
]
