import base64
import io
import random
from pathlib import Path

import pytest

from eval import BenchmarkConfig, EvalConfig, Results
from eval._keys import plan_samples
from eval._record import Provenance, write_record
from eval.scoring import ScoredAnswer
from eval.sources import Item, read_items
from eval.store import Answer, RowStore
from eval.summary import summarise
from recipes.tiny.make_data import make_frame
from recipes.tiny.tasks import make_sample


def _png(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="session")
def png():
    return _png


@pytest.fixture(scope="session")
def base64_png():
    """A picture as VLMEvalKit's tables hold it."""
    return base64.b64encode(_png(make_sample("ocr", "test", 0).image)).decode()


@pytest.fixture
def make_results():
    """Results with drawn verdicts: ``make_results({model: (accuracy, mean tokens)}, benchmarks, items)``."""

    def make(models, benchmarks=("math",), items=60, **options):
        config = EvalConfig(
            models={m: Path(m) for m in models},
            baseline=next(iter(models)),
            benchmarks={b: BenchmarkConfig(Path(f"{b}.parquet"), b) for b in benchmarks},
            out=Path("out"),
            **options,
        )
        results = Results(config, {"vllm": "vllm 0"}, dict.fromkeys(models, "f" * 64), items={}, scores={})
        for b in benchmarks:
            results.items[b] = []
            for i in range(items):
                sample = make_sample(b, "test", i)
                messages = (("user", f"<image>{sample.question}"),)
                results.items[b].append(Item(i, messages, (_png(sample.image),), sample.answer))
        for m, (accuracy, tokens) in models.items():
            results.scores[m] = {b: _draw(random.Random(f"{m}{b}"), accuracy, tokens, items) for b in benchmarks}
        summarise(results)
        return results

    return make


def _draw(rng, accuracy, tokens, items):
    rows = []
    for i in range(items):
        correct, length = float(rng.random() < accuracy), max(1, round(rng.gauss(tokens, tokens / 4)))
        status = "equal" if correct else "different"
        text = f"<think>{'wait, ' * (length // 3)}</think>\\boxed{{{i}}}"
        rows.append(
            ScoredAnswer(
                f"k{i}", i, 0, correct, status, True, length > 200, length, 2 * length // 3, text, str(i), None
            )
        )
    return rows


@pytest.fixture
def stored(tmp_path):
    """``stored(items)``: the ``out`` of an evaluation whose model directories are gone; every other answer is right."""

    def store(items=6):
        source, out = tmp_path / "math.parquet", tmp_path / "out"
        make_frame("math", "test", items).to_parquet(source)
        models = {name: tmp_path / "gone" / name for name in ("base", "expert")}
        config = EvalConfig(models, "base", {"math": BenchmarkConfig(source, "math")}, out)
        provenance = Provenance({"vllm": "vllm 0"}, {name: name * 8 for name in models})
        write_record(config, provenance)
        for name in models:
            questions = read_items("math", config.benchmarks["math"])
            samples = plan_samples(questions, name * 8, config.sampling, config.engine, "vllm 0")
            with RowStore(out / "answers" / name / "math.jsonl", Answer).writing() as append:
                for s in samples:
                    text = f"<think>so</think>\\boxed{{{s.item.ground_truth if s.item.index % 2 else 'x'}}}"
                    append([Answer(s.key, s.item.index, 0, text, 9, 3, 20, "stop")])
        return out

    return store
