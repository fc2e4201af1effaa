"""What :mod:`lipo.doctor.probes` runs in a process of its own; writes its finding as JSON."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any


class _Trainer:
    """Stands where verl's trainer stands: in an actor that imports verl and nothing of ours."""

    def look_up(self) -> str | None:
        from verl.trainer.ppo import core_algos

        estimator = core_algos.ADV_ESTIMATOR_REGISTRY.get("lipo")
        return estimator and f"{estimator.__module__}.{estimator.__qualname__}"


def _ray_actor() -> dict[str, str | None]:
    import ray

    actor: Any = ray.remote(_Trainer)
    ray.init(address="local", num_cpus=1, include_dashboard=False, object_store_memory=100 << 20)
    try:
        return {"lipo": ray.get(actor.remote().look_up.remote())}
    finally:
        ray.shutdown()


def _random_model(directory: Path) -> Path:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        vocab_size=64,
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
    )
    Qwen2ForCausalLM(config).save_pretrained(directory)
    return directory


def _vllm_token(dtype: Any, model: str | None = None) -> dict[str, int]:
    # In this process: one less to start, and its exception is the cause itself.
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    from vllm import LLM, SamplingParams

    with tempfile.TemporaryDirectory() as scratch:
        engine = LLM(
            model=model or str(_random_model(Path(scratch))),
            skip_tokenizer_init=model is None,
            trust_remote_code=False,
            load_format="safetensors",
            dtype=dtype,
            max_model_len=64,
            max_num_seqs=1,
            enforce_eager=True,
            gpu_memory_utilization=0.3,
            distributed_executor_backend="uni",
        )
        sampling = SamplingParams(max_tokens=1, temperature=0.0, detokenize=model is not None)
        output = engine.generate({"prompt_token_ids": [1, 2, 3]}, sampling)[0].outputs[0]
    return {"tokens": len(output.token_ids)}


def main() -> None:
    """Run one probe: ``ray RESULT`` or ``vllm RESULT DTYPE [MODEL]``."""
    what, result, *arguments = sys.argv[1:]
    try:
        outcome: dict = _ray_actor() if what == "ray" else _vllm_token(*arguments)
    # Whatever goes wrong is the finding.
    except Exception as error:
        traceback.print_exc()
        lines = str(error).strip().splitlines() or [""]
        outcome = {"error": f"{type(error).__name__}: {lines[-1].strip()}"[:300]}
    Path(result).write_text(json.dumps(outcome), "utf-8")


if __name__ == "__main__":
    main()
