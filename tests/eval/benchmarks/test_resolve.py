import os
import subprocess
import sys
from pathlib import Path

import pytest

from eval import BenchmarkConfig
from eval.benchmarks import resolve_benchmark, select_benchmarks
from eval.sources import read_items
from lipo.common import LipoError


@pytest.mark.parametrize("place", ["MathVista_MINI.tsv", "mathvista.jsonl", "AI4Math/MathVista", "MathVista"])
def test_data_are_found_under_every_name_they_come_with(tmp_path, place, monkeypatch):
    target = tmp_path / place
    if target.suffix:
        target.write_text("x")
    else:
        target.mkdir(parents=True)
    for given, variable in ((tmp_path, ""), (None, str(tmp_path))):
        monkeypatch.setenv("LIPO_DATA", variable)
        config = resolve_benchmark("mathvista", BenchmarkConfig(limit=5), given)
        assert (config.source, config.declaration, config.limit) == (target, "mathvista", 5)
        assert resolve_benchmark("mathvista", config, Path("elsewhere")) == config


def test_what_is_not_there_is_said_before_anything_starts(tmp_path):
    with pytest.raises(LipoError, match=r"no data of 'chartqa'.*ChartQA_TEST.tsv") as error:
        resolve_benchmark("chartqa", BenchmarkConfig(), tmp_path)
    assert "lipo data fetch chartqa" in error.value.fix
    with pytest.raises(LipoError, match="did you mean 'chartqa'"):
        resolve_benchmark("chartqq", BenchmarkConfig(), tmp_path)


def test_a_file_with_a_scorer_keeps_verls_format_whatever_its_name():
    config = resolve_benchmark("chartqa", BenchmarkConfig(Path("x.parquet"), "structured"))
    assert (config.declaration, config.scorer, config.measure) == (None, "structured", "acc")
    assert resolve_benchmark("mine", BenchmarkConfig(Path("x.parquet"))).scorer == "auto"
    assert resolve_benchmark("mine", BenchmarkConfig(Path("x.tsv"), "math")).declaration == "generic"
    assert resolve_benchmark("docvqa", BenchmarkConfig(Path("x.tsv"))).measure == "similarity"
    assert resolve_benchmark("mine", BenchmarkConfig(hub="a/b")).declaration == "generic"


def test_words_of_the_command_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    selected = select_benchmarks(["mathvista", "my.tsv", "b=other.parquet", "folder", "own.yaml", "run1=x/y.jsonl"])
    assert selected == {
        "mathvista": BenchmarkConfig(),
        "my": BenchmarkConfig(Path("my.tsv")),
        "b": BenchmarkConfig(Path("other.parquet")),
        "folder": BenchmarkConfig(Path("folder")),
        "own": BenchmarkConfig(declaration="own.yaml"),
        "run1": BenchmarkConfig(Path("x/y.jsonl")),
    }


@pytest.mark.parametrize(
    ("words", "message"), [(["mathvisto"], "did you mean 'mathvist"), (["a/x.tsv", "b/x.tsv"], "two benchmarks")]
)
def test_words_that_name_nothing(words, message):
    with pytest.raises(LipoError, match=message):
        select_benchmarks(words)


def test_the_command_line_says_what_is_missing_before_vllm_starts(tmp_path):
    root = Path(__file__).parents[3]
    words = [
        "eval",
        "--model",
        root / "recipes/tiny/base",
        "--benchmarks",
        "mathvista,mmstar",
        "--out",
        tmp_path / "out",
    ]
    done = subprocess.run(
        [sys.executable, "-c", "from lipo.cli import main; main()", *map(str, words)],
        env=os.environ | {"PYTHONPATH": str(root), "LIPO_DATA": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "no data of 'mathvista'" in done.stderr and "lipo data fetch mathvista" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_dataset_of_the_hub_without_network_says_so(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    with pytest.raises(LipoError, match="cannot read the dataset nobody/nothing"):
        read_items("x", BenchmarkConfig(hub="nobody/nothing"))
