"""``lipo merge --verify``: the merged model answers in transformers and in vLLM."""

from __future__ import annotations

import importlib.util
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lipo.common import LipoError

# Enough for the question and an image; a model's full context would need its whole cache.
_LONGEST = 4096


def verify_model(directory: Path) -> Iterator[str]:
    """Load a model with transformers and, where it is installed, with vLLM, and take a token from each.

    Args:
        directory: A Hugging Face model directory.

    Yields:
        One line per loader on what was seen.

    Raises:
        LipoError: A loader refuses the model, leaves tensors unused, or gives no token.
    """
    from merge import verify
    from merge.verification import takes_images

    yield verify(directory)
    if importlib.util.find_spec("vllm") is None:
        yield "vLLM is not installed, so it was not tried"
        return
    _ask_vllm(directory, takes_images(directory))
    yield f"vLLM loads it and gives a token for {'an image' if takes_images(directory) else 'a text'}"


def _ask_vllm(directory: Path, image: bool) -> None:
    """Ask one question, as ``lipo eval`` does; it runs vLLM in a process of its own."""
    import eval as evaluation

    with tempfile.TemporaryDirectory(prefix="lipo-verify-") as scratch:
        source = _write_question(Path(scratch), image)
        evaluation.run(
            evaluation.EvalConfig(
                models={"merged": directory},
                baseline="merged",
                benchmarks={"question": evaluation.BenchmarkConfig(source=source, scorer="math")},
                out=Path(scratch) / "out",
                sampling=evaluation.SamplingConfig(temperature=0.0, max_tokens=1),
                engine=evaluation.EngineConfig(
                    replicas=1, max_model_len=_context(directory), max_num_seqs=1, enforce_eager=True
                ),
            )
        )
        files = Path(scratch).rglob("answers/**/*.jsonl")
        answers = [json.loads(line) for file in files for line in file.read_text("utf-8").splitlines()]
    failures = [answer.get("error") for answer in answers if answer["finish"] == "error"]
    if failures or not answers:
        raise LipoError(f"vLLM gives no token with {directory}: {failures}", "check that the base by itself works")


def _write_question(folder: Path, image: bool) -> Path:
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    from merge.verification import PROMPT, sample_image

    row: dict[str, object] = {
        "prompt": [{"role": "user", "content": ("<image>" if image else "") + PROMPT}],
        "reward_model": {"ground_truth": "0"},
        "data_source": "verify",
    }
    if image:
        data = io.BytesIO()
        sample_image().save(data, "PNG")
        row["images"] = [{"bytes": data.getvalue()}]
    pq.write_table(pa.Table.from_pylist([row]), folder / "question.parquet")
    return folder / "question.parquet"


def _context(directory: Path) -> int:
    config = json.loads((directory / "config.json").read_text("utf-8"))
    text = config.get("text_config") or config
    return min(_LONGEST, int(text.get("max_position_embeddings", _LONGEST)))
