"""Real vLLM in real Ray actors: whole runs, and runs without work."""

import json
import time
from dataclasses import replace

import pytest

import eval as evaluation
from eval import BenchmarkConfig, EngineConfig, EvalConfig, SamplingConfig
from eval._record import Provenance, read_record, write_record
from eval.store import Answer, RowStore
from lipo.common import LipoError
from recipes.tiny.make_data import make_frame
from recipes.tiny.model import build_model, save_model

ENGINE = EngineConfig(replicas=2, dtype="float32", max_model_len=256, max_num_seqs=16, kv_cache_gb=0.1)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for seed, name in enumerate(("base", "expert")):
        save_model(build_model(seed), folder / name)
    return {name: folder / name for name in ("base", "expert")}


def _config(tmp_path, models, frame, **sampling):
    source = tmp_path / "math.parquet"
    frame.to_parquet(source)
    return EvalConfig(
        models=models,
        baseline="base",
        benchmarks={"math": BenchmarkConfig(source, "math")},
        out=tmp_path / "out",
        sampling=SamplingConfig(**sampling),
        engine=ENGINE,
    )


def _answers(out, model):
    rows = [json.loads(line) for line in (out / "answers" / model / "math.jsonl").read_text().splitlines()]
    assert len({row["key"] for row in rows}) == len(rows)
    return {row["key"]: (row["response"], row["tokens"], row["finish"]) for row in rows}


def test_user_mistakes_are_found_before_anything_starts(tmp_path, models):
    config = _config(tmp_path, models, make_frame("math", "test", 2).drop(columns="reward_model"))
    with pytest.raises(LipoError, match="no column reward_model"):
        evaluation.run(config)
    with pytest.raises(LipoError, match="no scorer 'maths'"):
        evaluation.run(replace(config, benchmarks={"math": BenchmarkConfig(tmp_path / "math.parquet", "maths")}))
    assert not (tmp_path / "out").exists()


def test_a_run_that_is_refused_leaves_the_record_of_the_one_that_is_writing(tmp_path, models):
    config = _config(tmp_path, models, make_frame("math", "test", 2))
    write_record(config, Provenance({"vllm": "0"}, {}))
    before = read_record(config.out)
    store = RowStore(config.out / "answers" / "base" / "math.jsonl", Answer)
    with store.writing(), pytest.raises(LipoError, match="another evaluation is writing"):
        evaluation.run(replace(config, sampling=SamplingConfig(seed=7)))
    assert read_record(config.out) == before


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_whole_run_with_bad_rows_and_again_without_work(tmp_path, models):
    frame = make_frame("math", "test", 40)
    frame.at[3, "images"] = [{"bytes": b"not an image"}]
    frame.at[5, "images"] = [{"path": "missing.png"}]
    frame.at[7, "prompt"] = [{"role": "user", "content": "<image><|image_pad|>solve it.<|im_end|>"}]
    frame.at[9, "prompt"] = [{"role": "user", "content": "<image>" + "solve it. " * 400}]
    config = _config(tmp_path, models, frame, max_tokens=40, samples=2)
    seen = []
    results = evaluation.run(config, seen.append)

    rows = results.scores["base"]["math"]
    assert len(rows) == 80
    errors = {row.item: row.error for row in rows if row.error}
    assert set(errors) >= {3, 5, 9} and set(errors) <= {3, 5, 7, 9}
    assert "UnidentifiedImageError" in errors[3] and "no image at" in errors[5] and "256" in errors[9]
    answered = [row for row in rows if not row.error]
    assert all(1 <= row.tokens <= 40 for row in answered)
    assert all(row.truncated == (row.tokens == 40) for row in answered if "<|im_end|>" not in row.response)
    assert len({row.response for row in answered}) > 70, "samples of one question share their random numbers"
    assert _answers(config.out, "base") != _answers(config.out, "expert")
    assert [(p.model, p.done, p.total) for p in seen[:2]] == [("base", 0, 80), ("expert", 0, 80)]
    assert all(any(p.done == 80 for p in seen if p.model == m) for m in models)

    begun = time.monotonic()
    again = evaluation.run(config)
    assert time.monotonic() - begun < 10
    assert (again.scores, again.cells, again.comparisons) == (results.scores, results.cells, results.comparisons)

    base = {"base": models["base"]}
    alone = replace(config, models=base, out=tmp_path / "alone", engine=replace(ENGINE, replicas=1, max_num_seqs=64))
    evaluation.run(alone)
    assert _share_equal(_answers(config.out, "base"), _answers(alone.out, "base")) > 0.97


def _share_equal(a, b):
    """Other batch sizes may round differently in the last bit, which now and then tips a token."""
    assert a.keys() == b.keys()
    return sum(a[key] == b[key] for key in a) / len(a)
