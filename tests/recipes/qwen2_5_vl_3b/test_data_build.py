import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from eval import BenchmarkConfig
from eval.sources import read_items
from lipo.training.preflight import _COLUMNS
from recipes.qwen2_5_vl_3b.data.__main__ import SIZES, main
from recipes.qwen2_5_vl_3b.data.build import Look, Part, _share, choose, look, write
from recipes.qwen2_5_vl_3b.data.example import INSTRUCTION
from recipes.qwen2_5_vl_3b.data.files import state_of
from recipes.qwen2_5_vl_3b.data.leaks import LeakIndex
from recipes.qwen2_5_vl_3b.data.sources import SOURCES
from reward_fns import auto, math

ROOT = Path(__file__).parents[3]
ACCEPT = ["--accept-licence", "cc-by-nc-3.0", "--accept-licence", "cc-by-nc-4.0", "--accept-licence", "unknown"]


def rows_of(path):
    return pa.parquet.read_table(path).to_pylist()


def hashes(folder):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.glob("*.parquet")}


@pytest.fixture
def arguments(make_source, tmp_path):
    sources = [f"--source={name}={make_source(name, 120 if name == 'ocr' else 40)}" for name in SOURCES]
    return ["--out", str(tmp_path / "out"), "--without-leak-check", *sources, *ACCEPT,
            "--math=60", "--structured=80", "--ocr=20", "--validation=4"]  # fmt: skip


def test_all_sources_become_training_files(arguments, tmp_path, capsys):
    assert main(arguments) == 0
    out = tmp_path / "out"
    report = json.loads((out / "report.json").read_text())
    assert {task: part["rows"]["train"] for task, part in report["tasks"].items()} == {
        "math": 60, "structured": 80, "ocr": 20}  # fmt: skip
    for task in SIZES:
        rows = rows_of(out / f"{task}_train.parquet")
        assert set(_COLUMNS) <= set(rows[0]) and "images" in rows[0]
        assert {SOURCES[row["data_source"]].task for row in rows} == {task}
        assert all(row["prompt"][0]["content"].count("<image>") == 1 == len(row["images"]) for row in rows)
        assert all(row["prompt"][0]["content"].endswith(INSTRUCTION) for row in rows)
        items = read_items(task, BenchmarkConfig(source=out / f"{task}_train.parquet", scorer=task))
        assert not any(item.error for item in items)
    structured = report["tasks"]["structured"]["sources"]
    assert {name: part["taken"] for name, part in structured.items()}.keys() == {
        "tat_dqa", "wtq", "tabfact", "plotqa", "tqa", "chartgalaxy"}  # fmt: skip
    assert structured["tat_dqa"]["no single answer"] == 40
    assert structured["wtq"]["a table too large to be legible"] == 1
    assert structured["plotqa"]["no image"] == 1
    assert report["tasks"]["math"]["sources"]["geometry3k"]["2 images"] == 1
    assert "math: 60 for training" in capsys.readouterr().out


def test_validation_shows_other_pictures(arguments, tmp_path):
    assert main(arguments) == 0
    for task in SIZES:
        train, held = ({row["images"][0]["bytes"] for row in rows_of(tmp_path / f"out/{task}_{split}.parquet")}
                       for split in ("train", "validation"))  # fmt: skip
        assert not train & held


def test_a_second_run_changes_nothing_and_another_seed_does(arguments, tmp_path):
    assert main(arguments) == 0
    first = hashes(tmp_path / "out")
    stamp = (tmp_path / "out/math_train.parquet").stat().st_mtime_ns
    assert main(arguments) == 0
    assert hashes(tmp_path / "out") == first
    assert (tmp_path / "out/math_train.parquet").stat().st_mtime_ns == stamp
    assert main([*arguments, "--seed=5"]) == 0
    assert hashes(tmp_path / "out")["math_train.parquet"] != first["math_train.parquet"]


def geometry(directory, picture, first):
    """Rows whose identities are their numbers, whatever they show."""
    rows = [{"images": [{"bytes": picture(first + i)}], "problem": "Find x.", "answer": str(i)} for i in range(4)]
    directory.mkdir(exist_ok=True)
    pa.parquet.write_table(pa.Table.from_pylist(rows), directory / "train.parquet")
    return directory


@pytest.mark.parametrize("other", ["first", "second"])
def test_a_source_that_changed_is_read_again(tmp_path, picture, other):
    """In its place or in another one, though the same rows are taken."""
    for directory, first in (("first", 0), (other, 100)):
        source = f"--source=geometry3k={geometry(tmp_path / directory, picture, first)}"
        assert main(["--out", str(tmp_path / "out"), "--without-leak-check", source, "--validation=0"]) == 0
        rows = rows_of(tmp_path / "out/math_train.parquet")
        assert [row["images"][0]["bytes"] for row in rows] == [picture(first + i) for i in range(4)]


def test_a_part_of_another_state_is_not_taken(tmp_path, picture):
    """As an interruption leaves it: the part is whole, the file is not yet there."""
    directory = geometry(tmp_path / "source", picture, 0)
    part = Part(SOURCES["geometry3k"], directory, state_of(directory), {"0"})
    (tmp_path / f"train-geometry3k-{part.digest[:16]}.parquet").touch()
    geometry(directory, picture, 100)
    part = Part(part.source, directory, state_of(directory), part.wanted)
    assert write(tmp_path / "out.parquet", [part], "train", tmp_path, lambda *_: None) == 1
    assert rows_of(tmp_path / "out.parquet")[0]["images"][0]["bytes"] == picture(100)


def test_killed_anywhere_it_continues_to_the_same_files(arguments, tmp_path):
    assert main(arguments) == 0
    undisturbed = hashes(tmp_path / "out")
    again = [*arguments]
    again[1] = str(tmp_path / "killed")
    command = [sys.executable, "-m", "recipes.qwen2_5_vl_3b.data", *again]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for moment in ("mmk12.jsonl", "tabfact.jsonl", "math_train.parquet"):
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while process.poll() is None and not list((tmp_path / "killed").rglob(moment)):
            assert time.monotonic() < end
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        # What has its final name is whole.
        for path in (tmp_path / "killed").glob("*.parquet"):
            assert rows_of(path)
    subprocess.run(command, env=environment, check=True, capture_output=True)
    assert hashes(tmp_path / "killed") == undisturbed


def test_benchmark_questions_are_dropped_and_reported(make_source, tmp_path, picture):
    benchmarks = tmp_path / "benchmarks"
    benchmarks.mkdir()
    rows = [{"prompt": [{"role": "user", "content": "<image>q"}], "images": [{"bytes": picture(i)}]} for i in range(10)]
    pa.parquet.write_table(pa.Table.from_pylist(rows), benchmarks / "mathverse.parquet")
    source = f"--source=mmk12={make_source('mmk12', 60)}"
    assert main(["--out", str(tmp_path / "out"), source, "--benchmarks", str(benchmarks), "--math=60"]) == 0
    report = json.loads((tmp_path / "out/report.json").read_text())
    counts = report["tasks"]["math"]["sources"]["mmk12"]
    assert counts["in mathverse (image)"] == 10
    assert report["benchmarks"]["mathverse"] == 10 and report["benchmarks"]["mme"] == 0
    shown = {row["images"][0]["bytes"] for split in ("train", "validation")
             for row in rows_of(tmp_path / f"out/math_{split}.parquet")}  # fmt: skip
    assert not shown & {picture(i) for i in range(10)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no sources"),
        (["--source=mmk=x"], "did you mean 'mmk12'"),
        (["--source=mmk12"], "has no place"),
        (["--source=mmk12=./nowhere", "--without-leak-check"], "no directory ./nowhere"),
    ],
)
def test_mistakes(tmp_path, capsys, arguments, message):
    assert main(["--out", str(tmp_path / "out"), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_name_is_fetched_or_says_where_to_get_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert main(["--out", str(tmp_path), "--source=geometry3k=hiyouga/geometry3k", "--without-leak-check"]) == 2
    message = capsys.readouterr().err
    assert "cannot fetch hiyouga/geometry3k" in message and "https://huggingface.co/datasets/hiyouga" in message


def test_benchmarks_must_be_named_or_waived(make_source, tmp_path, capsys):
    assert main(["--out", str(tmp_path / "out"), f"--source=mmk12={make_source('mmk12')}"]) == 2
    assert "--without-leak-check" in capsys.readouterr().err


def test_the_mixture_knows_every_source():
    recipe = yaml.safe_load((ROOT / "recipes/qwen2_5_vl_3b/mixture.yaml").read_text())
    sources = recipe["reward"]["custom_reward_function"]["reward_kwargs"]["sources"]
    assert sources == {name: source.task for name, source in SOURCES.items()}
    score = auto.compute_score("mmk12", "<think>1</think>\n\\boxed{4}", "4", {}, sources=sources, format_weight=0.1)
    assert score["score"] == 1.0 == math.compute_score("math", "<think>1</think>\n\\boxed{4}", "4", {})["score"]


@given(st.dictionaries(st.text(max_size=3), st.lists(st.integers(), unique=True), max_size=5), st.integers(0, 40))
def test_shares(ordered, size):
    named = {name: [str(value) for value in values] for name, values in ordered.items()}
    shares = _share(named, size)
    total = sum(map(len, named.values()))
    assert sum(map(len, shares.values())) == min(size, total)
    for name, chosen in shares.items():
        assert chosen == set(named[name][: len(chosen)])
        # Whoever has less than another gave all it had.
        assert len(chosen) == len(named[name]) or all(len(other) <= len(chosen) + 1 for other in shares.values())


def test_the_choice_does_not_depend_on_order_or_on_other_sources():
    looks = [Look(str(i), f"p{i}", f"q{i}", "") for i in range(200)]
    one = choose({"a": looks}, 50, 4, seed=1)
    assert choose({"a": looks[::-1]}, 50, 4, seed=1).train == one.train
    two = choose({"a": looks, "b": [Look("x", "px", "qx", "image too small")]}, 50, 4, seed=1)
    assert two.train["a"] == one.train["a"] and two.counts["b"]["image too small"] == 1
    assert choose({"a": looks}, 50, 4, seed=2).train != one.train


def test_a_limit_looks_at_those_that_would_be_taken_first(make_source, tmp_path):
    source = SOURCES["plotqa"]
    directory = make_source("plotqa", 60)

    def taken(limit, work, seed=1):
        (tmp_path / work).mkdir(exist_ok=True)
        state, index = state_of(directory), LeakIndex()
        seen = look(source, directory, state, index, tmp_path / work, lambda *_: None, seed=seed, limit=limit)
        return seen, choose({"plotqa": seen}, 10, 0, seed).train["plotqa"]

    everything, chosen = taken(1000, "all")
    some, same = taken(30, "some")
    assert (len(everything), len(some)) == (61, 30)
    assert [entry for entry in everything if entry in some] == some, "in the source's order"
    assert same == chosen
    assert taken(30, "some")[0] == some
    assert {e.identity for e in taken(30, "some", seed=2)[0]} != {e.identity for e in some}


def test_duplicates_count_once():
    looks = [Look("1", "p", "q", ""), Look("2", "p", "q", ""), Look("3", "p", "other", "")]
    choice = choose({"a": looks}, 10, 10, seed=1)
    assert choice.counts["a"] == {"duplicate": 1, "taken": 2, "spare": 0}
