"""Batch evaluation with vLLM in Ray actors: accuracy and response length together, resumable, with honest statistics.

>>> results = run(config, on_progress=print)                       # doctest: +SKIP
>>> report.write_report(results, config.out)                       # doctest: +SKIP
"""

from eval._run import Progress, check, run, score
from eval._table import table
from eval.config import BenchmarkConfig, Claim, EngineConfig, EvalConfig, JudgeConfig, SamplingConfig
from eval.results import Results

__all__ = [
    "BenchmarkConfig",
    "Claim",
    "EngineConfig",
    "EvalConfig",
    "JudgeConfig",
    "Progress",
    "Results",
    "SamplingConfig",
    "check",
    "run",
    "score",
    "table",
]
