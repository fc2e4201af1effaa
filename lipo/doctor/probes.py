"""The two checks that start the real thing, each in a process of its own: a Ray actor with verl, and a vLLM engine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from lipo.common.processes import supervised
from lipo.doctor.finding import Finding

RAY_SECONDS = 180
VLLM_SECONDS = 420
_CHILD = ["-m", "lipo.doctor._child"]


def check_ray(environment: Mapping[str, str], seconds: float = RAY_SECONDS) -> Finding:
    """Start a local Ray and look up ``lipo`` in verl's registry inside an actor.

    Args:
        environment: The variables training would have.
        seconds: How long to wait.
    """
    policy = environment.get("VERL_USE_EXTERNAL_PLUGINS", "auto")
    outcome = _run("ray", environment, seconds)
    if "error" in outcome:
        fix = f"see {outcome['log']}; 'ray start --head' by itself shows whether Ray is at fault"
        return Finding("fail", f"no Ray actor with verl: {outcome['error']}", fix)
    if outcome.get("lipo") is None:
        hint = f"VERL_USE_EXTERNAL_PLUGINS is '{policy}': unset it" if policy != "auto" else "install lipo-rl again"
        return Finding("fail", "'lipo' is not in verl's registry inside a Ray actor", hint)
    return Finding("ok", f"inside a Ray actor, verl's advantage estimator 'lipo' is {outcome['lipo']}")


def check_vllm(
    environment: Mapping[str, str], dtype: str, model: Path | None, seconds: float = VLLM_SECONDS
) -> Finding:
    """Start a vLLM engine and generate one token.

    Args:
        environment: The variables training would have.
        dtype: Precision of the rollouts: not every CPU, or virtual machine, can do bfloat16.
        model: Hugging Face directory; without it, a tiny random model.
        seconds: How long to wait.
    """
    outcome = _run("vllm", environment, seconds, dtype, *([str(model)] if model else []))
    if "error" in outcome:
        return Finding(
            "fail",
            f"vLLM does not start: {outcome['error']}",
            f"see {outcome['log']}; free memory, and compare the versions above with the pinned ones",
        )
    return Finding("ok", f"vLLM starts and generates in {dtype} with {model or 'a random model'}")


def _run(what: str, environment: Mapping[str, str], seconds: float, *arguments: str) -> dict[str, str]:
    """Run ``lipo.doctor._child``; returns what it wrote, or ``error`` and ``log``."""
    work = Path(tempfile.mkdtemp(prefix=f"lipo-doctor-{what}-"))
    result, log = work / "result.json", work / "log.txt"
    command = [sys.executable, *_CHILD, what, str(result), *arguments]
    with supervised(command, log, dict(os.environ) | dict(environment)) as process:
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            return {"error": f"no answer within {seconds:.0f} s", "log": str(log)}
    try:
        outcome = json.loads(result.read_text("utf-8"))
    except (OSError, ValueError):
        # As a shell reports it: 128 and the signal's number.
        killed = status - 128 in set(signal.Signals)
        how = f"was killed by {signal.Signals(status - 128).name}" if killed else f"ended with status {status}"
        return {"error": f"its process {how}", "log": str(log)}
    if "error" not in outcome:
        for file in work.iterdir():
            file.unlink()
        work.rmdir()
    return {"log": str(log)} | outcome
