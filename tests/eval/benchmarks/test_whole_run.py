"""Declared benchmarks from data in their published forms, through a real vLLM."""

import base64
import csv
import io
import json
from pathlib import Path

import datasets
import pytest

import eval as evaluation
from eval import BenchmarkConfig, EngineConfig, EvalConfig, SamplingConfig
from eval.benchmarks import select_benchmarks
from eval.report._browser import browser_data
from recipes.tiny.clips import make_clip, write_clip
from recipes.tiny.make_video_data import FRAME_OPTIONS
from recipes.tiny.tasks import make_sample

ROOT = Path(__file__).parents[3]
ITEMS = 12


def _png(task, index):
    buffer = io.BytesIO()
    make_sample(task, "test", index).image.save(buffer, "PNG")
    return buffer.getvalue()


def _write_chartqa(folder):
    """VLMEvalKit's table; every second row refers to the picture of the one before; one picture is broken."""
    with (folder / "ChartQA_TEST.tsv").open("w", newline="") as file:
        writer = csv.writer(file, delimiter="\t")
        writer.writerow(["index", "image", "question", "answer", "split"])
        for i in range(ITEMS):
            image = base64.b64encode(_png("structured", i)).decode() if i % 2 == 0 else i - 1
            image = "A" * 80 if i == 5 else image
            sample = make_sample("structured", "test", i - i % 2)
            writer.writerow([i, image, sample.question, sample.answer, "test_human" if i < 4 else "test_augmented"])


def _write_mathvista(folder):
    """A snapshot of the Hub's dataset."""
    samples = [make_sample("math", "test", i) for i in range(ITEMS)]
    data = datasets.Dataset.from_dict(
        {
            "pid": [str(i) for i in range(ITEMS)],
            "query": [sample.question for sample in samples],
            "decoded_image": [{"bytes": _png("math", i), "path": None} for i in range(ITEMS)],
            "choices": [None if i % 3 else ["1", str(sample.answer)] for i, sample in enumerate(samples)],
            "question_type": ["free_form" if i % 3 else "multi_choice" for i in range(ITEMS)],
            "answer_type": ["integer" if i % 3 else "text" for i in range(ITEMS)],
            "answer": [str(sample.answer) for sample in samples],
            "precision": [None] * ITEMS,
            "metadata": [{"task": "figure question answering", "category": "general-vqa"}] * ITEMS,
        }
    ).cast_column("decoded_image", datasets.Image())
    (folder / "AI4Math" / "MathVista" / "data").mkdir(parents=True)
    data.to_parquet(folder / "AI4Math" / "MathVista" / "data" / "testmini-00000-of-00001.parquet")


def _write_mvbench(folder):
    """The authors' files: four clips, the last of which is broken, and one that is not there."""
    base = folder / "MVBench"
    rows = []
    for i in range(5):
        sample = make_clip("order", "test", i)
        name = f"{i}.mp4"
        if i < 4:
            write_clip(sample, base / "video" / "perception" / "videos" / name)
        rows.append(
            {
                "video": name,
                "question": sample.question,
                "candidates": list(sample.options),
                "answer": sample.options["ABCDEF".index(sample.answer)],
            }
        )
    broken = base / "video" / "perception" / "videos" / "3.mp4"
    broken.write_bytes(broken.read_bytes()[:400])
    (base / "json").mkdir()
    (base / "json" / "character_order.json").write_text(json.dumps(rows))


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_tiny_model_on_declared_benchmarks(tmp_path):
    """One vLLM for pictures, and for videos in both modes."""
    _write_mvbench(tmp_path)
    _write_chartqa(tmp_path)
    _write_mathvista(tmp_path)
    config = EvalConfig(
        models={"base": ROOT / "recipes" / "tiny" / "base"},
        baseline="base",
        benchmarks={
            "chartqa": BenchmarkConfig(),
            "mathvista": BenchmarkConfig(limit=10),
            **select_benchmarks(["mvbench+option", "mvbench+reason"]),
        },
        out=tmp_path / "out",
        data_dir=tmp_path,
        frames=FRAME_OPTIONS,
        sampling=SamplingConfig(temperature=0.0, max_tokens=48),
        engine=EngineConfig(replicas=1, dtype="float32", max_num_seqs=16, kv_cache_gb=0.1),
    )
    results = evaluation.run(config)
    chart, vista = (results.scores["base"][name] for name in ("chartqa", "mathvista"))
    assert [row.item for row in chart if row.error] == [5]
    assert [row.error for row in vista] == [None] * 10
    assert all(row.tokens > 0 for row in [*chart, *vista] if row.error is None)
    assert {item.scorer for item in results.items["mathvista"]} == {"multiple_choice", "rounded"}
    assert results.items["chartqa"][1].cluster == results.items["chartqa"][0].cluster
    assert results.cells["base"]["chartqa"].clusters < ITEMS
    breakdown = results.breakdowns["base"]["chartqa"]
    assert set(breakdown["source"]) == {"human", "augmented"}

    for mode in ("option", "reason"):
        rows = results.scores["base"][f"mvbench+{mode}"]
        assert [row.error is None for row in rows] == [True, True, True, False, False]
        assert all(row.tokens > 0 for row in rows[:3])
    shown = {
        question["row"]: len(question["frames"]) for question in browser_data(results)["benchmarks"]["mvbench+reason"]
    }
    assert shown == {0: 8, 1: 8, 2: 8, 3: 0, 4: 0}

    written = json.loads((config.out / "results.json").read_text())
    assert written["benchmarks"]["chartqa"]["items"] == ITEMS
    begun = [row.key for row in chart]
    again = evaluation.score(config.out)
    assert [row.key for row in again.scores["base"]["chartqa"]] == begun
