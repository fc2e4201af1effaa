"""The documentation builds without warnings, and what it tells a reader to type is possible."""

import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from lipo.cli._app import app
from lipo.estimators import RULES
from merge.methods import method_names

ROOT = Path(__file__).parents[1]
DOCS = sorted(path for path in (ROOT / "docs").rglob("*.md") if path.parent.name != "results")


@pytest.fixture(scope="module")
def reference():
    spec = importlib.util.spec_from_file_location("reference", ROOT / "docs/reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return dict(module.pages()) | {"markdown": module.markdown}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_it_builds_without_warnings(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path / "site"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    page = (tmp_path / "site/reference/estimators/lipo.html").read_text("utf-8")
    assert "similarity_threshold" in page and "<table>" in page
    # A page without a graph sends the reader's browser nowhere.
    loaded = re.findall(r'(?:src|href)="(https?://[^"]+)"', page)
    assert not [url for url in loaded if url.endswith((".js", ".css", ".woff2"))]


def test_a_page_for_every_rule_method_and_benchmark(reference):
    assert {f"reference/estimators/{name}.md" for name in RULES} <= set(reference)
    assert {f"reference/methods/{name}.md" for name in method_names()} <= set(reference)
    assert "reference/benchmarks/mathvista.md" in reference
    lipo = reference["reference/estimators/lipo.md"]
    assert lipo.startswith("# lipo\n") and "| `boost` |" in lipo and "L_opt" in lipo
    for place, text in reference.items():
        if place != "markdown":
            assert "``" not in text.replace("```", "") and ":func:" not in text, place


def test_docstrings_become_markdown(reference):
    def example():
        """Add ``a``.

        Formula::

            a + b

        Args:
            a: First; see :func:`sum`.
            b: Second,
                in two lines.

        Returns:
            The sum.
        """

    text = reference["markdown"](example)
    assert text.splitlines()[0] == "Add `a`."
    assert "    a + b" in text and "- `a`: First; see `sum`." in text and "**Returns**\n\nThe sum." in text


def commands():
    for path in (ROOT / "README.md", *DOCS):
        text = re.sub(r"\\\n\s*", "", path.read_text("utf-8"))
        for line in re.findall(r"^ {4}(lipo .+)$", text, re.MULTILINE):
            yield pytest.param(line, id=f"{path.stem}: {line[:60]}")


@pytest.mark.parametrize("line", list(commands()))
def test_commands_parse(line):
    """As the command line itself would parse them; recipes must exist."""
    _, name, *arguments = shlex.split(line)
    command = get_command(app).commands[name]
    command.make_context(name, arguments)
    for word in arguments:
        if re.fullmatch(r"recipes/[\w/]+\.yaml", word):
            assert (ROOT / word).is_file(), word


REHEARSED = {
    r"train ": "tests/e2e runs the tiny recipes, tests/e2e/test_qwen_recipes.py the Qwen ones on CPUs",
    r"sft ": "tests/e2e/test_sft.py",
    r"run ": "tests/e2e/test_demo.py runs the tiny pipeline, tests/cluster/test_pipeline_job.py the Qwen one",
    r"eval ": "tests/eval/test_run.py, tests/eval/test_clusters.py",
    r"submit ": "tests/cluster/test_submit.py, tests/cluster/test_pipeline_job.py",
    r"merge recipes/qwen2_5_vl_3b/": "tests/cluster/test_pipeline_job.py merges the tiny model by it",
    r"merge recipes/tiny/merge.yaml$": "tests/e2e/test_demo.py",
    r"merge recipes/tiny/merge_video.yaml$": "tests/recipes/test_merge_video.py",
}
"""Commands of minutes or of GPUs, which run with --dry-run here: composed, checked, not started; and where they run."""

PARSED_ONLY = {
    r"score ": "needs the answers of an evaluation; tests/eval/test_score.py",
    r"data fetch ": "needs the network; tests/eval/benchmarks/test_fetch.py",
    r"data check mathvista": "needs the published data; tests/lipo/cli/test_data.py",
    r"merge --base s3://": "needs a server; tests/cluster/test_s3.py",
    r"doctor": "looks at the whole machine; tests/lipo/cli/test_doctor.py",
}


def matching(patterns, line):
    return [pattern for pattern in patterns if re.match(f"lipo {pattern}", line)]


def test_what_is_not_run_is_in_the_docs_and_tested_elsewhere():
    lines = [parameter.values[0] for parameter in commands()]
    for patterns in (REHEARSED, PARSED_ONLY):
        assert {pattern for line in lines for pattern in matching(patterns, line)} == set(patterns)
        for reason in patterns.values():
            for path in re.findall(r"tests/[\w/]+(?:\.py)?", reason):
                assert (ROOT / path).exists(), path
    assert sum(not matching([*REHEARSED, *PARSED_ONLY], line) for line in lines) >= 6


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A directory with what a reader has at that point: the tiny data, and experts that differ from the base.

    What takes GPUs is there in small: the tiny model in the place of the large one, the tiny tasks in that of the data.
    """
    from safetensors.torch import load_file, save_file

    from eval.benchmarks import benchmark_names, data_places, find_declaration

    folder = tmp_path_factory.mktemp("reader")
    small = ["--out", folder / "runs/demo/data", "--train=8", "--validation=4", "--test=4"]
    subprocess.run([sys.executable, "-m", "recipes.tiny.make_data", *small], cwd=ROOT, check=True)
    base = ROOT / "recipes/tiny/base"
    for number, name in enumerate(("math", "structured", "ocr"), start=1):
        place = folder / "runs/demo/experts" / name
        shutil.copytree(base, place)
        weights = load_file(base / "model.safetensors")
        changed = {key: value * (1 + number * 1e-3) for key, value in weights.items()}
        save_file(changed, place / "model.safetensors", metadata={"format": "pt"})
        (folder / f"A{number}").symlink_to(place)
    shutil.copytree(folder / "runs/demo/experts/ocr", folder / "runs/video/expert")
    for name in ("A", "B"):
        (folder / name).symlink_to(base)
    large = folder / "models/Qwen2.5-VL-3B-Instruct"
    for place in (
        "models/base",
        "models/expert",
        "runs/demo/merged",
        "runs/video/cold_start",
        large.relative_to(folder),
    ):
        shutil.copytree(base, folder / place)
    experts = folder / "runs/qwen2_5_vl_3b/lipo"
    shutil.copytree(folder / "runs/demo/experts", experts / "experts")
    for place in ("lipo/merged", "lipo/merged_video", "lipo/experts/video", "grpo_noise/experts/video"):
        shutil.copytree(experts / "experts/math", folder / "runs/qwen2_5_vl_3b" / place)
    shutil.copytree(base, folder / "runs/qwen2_5_vl_3b/video_cold_start")
    shutil.copytree(folder / "runs/demo/data", folder / "runs/qwen2_5_vl_3b/data")
    small = ["--out", folder / "runs/video/data", "--train=8", "--validation=4", "--test=4", "--cold-start=32"]
    subprocess.run([sys.executable, "-m", "recipes.tiny.make_video_data", *small], cwd=ROOT, check=True)
    for name in ("train", "validation", "cold_start"):
        target = folder / f"runs/qwen2_5_vl_3b/data/video_{name}.parquet"
        shutil.copy(folder / f"runs/video/data/{name}.parquet", target)
    shutil.copy(ROOT / "recipes/tiny/eval.yaml", folder / "my_recipe.yaml")
    for name in benchmark_names():
        place = data_places(name, find_declaration(name), folder / "data")[0]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    for name, suffix in (("my_questions", "tsv"), ("my_questions", "parquet")):
        (folder / f"{name}.{suffix}").touch()
    # As 'hf download Qwen/Qwen2.5-VL-3B-Instruct' leaves it.
    repository = folder / "runs/hub/models--Qwen--Qwen2.5-VL-3B-Instruct"
    shutil.copytree(large, repository / "snapshots" / ("0" * 40))
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text("0" * 40)
    return folder


@pytest.mark.parametrize("line", [p for p in commands() if not matching(PARSED_ONLY, p.values[0])])
def test_commands_run(line, workplace, monkeypatch):
    """In a directory of their own, with the recipes of the installed package."""
    monkeypatch.chdir(workplace)
    monkeypatch.delenv("LIPO_DATA", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(workplace / "runs/hub"))
    rehearsal = ["--dry-run"] if matching(REHEARSED, line) and "--dry-run" not in line else []
    before = set(workplace.rglob("*"))
    assert app([*shlex.split(line)[1:], *rehearsal], standalone_mode=False) in (None, 0)
    if rehearsal:
        assert set(workplace.rglob("*")) == before


@pytest.mark.parametrize("path", DOCS, ids=lambda p: p.name)
def test_what_is_named_exists(path):
    text = path.read_text("utf-8")
    for recipe in set(re.findall(r"recipes/[\w/]+\.(?:yaml|sh|py)", text)):
        assert (ROOT / recipe).is_file(), recipe
    for module in set(re.findall(r"python -m ([\w.]+)", text)) - {"pip", "pytest"}:
        if module.split(".")[0] in ("recipes", "lipo", "eval", "merge", "reward_fns"):
            assert importlib.util.find_spec(module), module


def test_profiles_and_rules_of_the_guide_are_those_of_the_recipes():
    text = (ROOT / "docs/clusters.md").read_text("utf-8")
    folder = ROOT / "recipes/qwen2_5_vl_3b"
    profiles = {p.stem for p in (folder / "profile").glob("*.yaml")} - {"gpu"}
    assert set(re.findall(r"^\| `(\w+)`", text, re.MULTILINE)) == profiles
    assert set(re.findall(r"\bprofile=(\w+)", text)) <= profiles
    assert set(re.findall(r"\brule=(\w+)", text)) <= {p.stem for p in (folder / "rule").glob("*.yaml")}


def test_sources_of_the_data_page_are_those_there_are():
    from recipes.qwen2_5_vl_3b.data.sources import SOURCES

    text = (ROOT / "docs/data.md").read_text("utf-8")
    table = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", text, re.MULTILINE))
    assert table == {name: source.task for name, source in SOURCES.items()}


def test_the_estimates_in_the_guide_are_what_the_plan_says():
    from lipo.planning import KNOWN, estimate_memory, find_gpu, read_settings
    from lipo.training import compose

    text = (ROOT / "docs/clusters.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` on [\w ]+ \| (\d+) of (\d+) GB", text, re.MULTILINE)
    assert len(rows) == 4
    for profile, peak, card in rows:
        config = compose(ROOT / "recipes/qwen2_5_vl_3b/math.yaml", [f"profile={profile}"])
        gpu = find_gpu(config.lipo.gpu)
        memory = estimate_memory(KNOWN[config.actor_rollout_ref.model.path], read_settings(config), gpu.memory)
        assert (round(memory.peak.total / 1e9), round(gpu.memory / 1e9)) == (int(peak), int(card)), profile


def test_the_layers_of_the_performance_page_are_those_of_the_model():
    spec = importlib.util.spec_from_file_location("merge_models", ROOT / "benchmarks/merge_models.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    every = sum(module.linear_layers().values())
    text = (ROOT / "docs/performance.md").read_text("utf-8")
    measured, of = map(int, re.search(r"^\| (\d+) of (\d+) \|", text, re.MULTILINE).groups())
    assert measured == sum(map(int, re.findall(r"^\| (\d+) \| \d+ × \d+ \|", text, re.MULTILINE)))
    assert of == every and f"one layer of {every} |" in text


def test_every_page_is_in_the_menu():
    loader = type("Loader", (yaml.SafeLoader,), {})
    loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)
    menu = str(yaml.load((ROOT / "mkdocs.yml").read_text("utf-8"), loader)["nav"])  # a SafeLoader
    places = [path.relative_to(ROOT / "docs").as_posix() for path in DOCS]
    assert [place for place in places if f"'{place}'" not in menu] == []
