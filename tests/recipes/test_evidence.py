"""What the pages show is what the committed results say."""

import dataclasses
import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from lipo.common import LipoError, load_yaml
from recipes.tiny import evidence
from recipes.tiny.evidence import KINDS, PAGES, ROOT, STUDIES, fill
from recipes.tiny.merge_study import __main__ as merge_study
from recipes.tiny.merge_study import render as merges
from recipes.tiny.merge_study.config import MergeStudy
from recipes.tiny.study import __main__ as train_study
from recipes.tiny.study import render
from recipes.tiny.study.collect import collect
from recipes.tiny.study.config import Study
from recipes.tiny.study.picture import picture
from recipes.tiny.tasks import FIND_RATE, MAX_RECHECKS, make_sample
from recipes.tiny.train_base import RECHECK_SHARES, SLIP_RATE

PAGE = (ROOT / "docs/evidence.md").read_text("utf-8")
LENGTH = (ROOT / "docs/evidence/length.md").read_text("utf-8")
NAMES = sorted(path.stem for path in STUDIES.glob("*.yaml"))


def settings(name):
    path = STUDIES / f"{name}.yaml"
    return load_yaml(MergeStudy if "\nexperts:" in path.read_text("utf-8") else Study, path)


@pytest.mark.parametrize("page", PAGES)
def test_the_pages_show_the_committed_results(page):
    text = (ROOT / page).read_text("utf-8")
    assert fill(text, Path(page)) == text, "run python -m recipes.tiny.evidence"


@pytest.mark.parametrize("name", NAMES)
def test_tables_and_pictures_are_those_of_the_figures(name):
    stem = ROOT / settings(name).results
    if not stem.with_suffix(".json").is_file():
        pytest.skip("no results yet")
    results = json.loads(stem.with_suffix(".json").read_text("utf-8"))
    merging = "models" in results
    markdown, draw = (merges.markdown, merges.picture) if merging else (render.markdown, picture)
    assert stem.with_suffix(".md").read_text("utf-8") == markdown(results)
    assert stem.with_suffix(".svg").read_text("utf-8") == draw(results)


@pytest.mark.parametrize("name", NAMES)
def test_figures_follow_from_what_was_measured(name, tmp_path, monkeypatch):
    study, stem = settings(name), ROOT / settings(name).results
    if not stem.is_dir() or not stem.with_suffix(".json").is_file():
        pytest.skip("no measurements")
    results = json.loads(stem.with_suffix(".json").read_text("utf-8"))
    monkeypatch.chdir(tmp_path)  # Where studies have run, there are models.
    collected = {key: results["study"][key] for key in ("tasks", "seeds")}
    if isinstance(study, MergeStudy):
        others = results["study"]["others"]
        figures = merge_study.run(dataclasses.replace(study, results=stem, others=others, **collected))
    else:
        shared = study.measurements and ROOT / study.measurements
        methods = {name: study.methods[name] for name in results["study"]["methods"]}
        study = dataclasses.replace(study, results=stem, measurements=shared, methods=methods, **collected)
        figures = collect(study, train_study.run(study))
    assert {key: results[key] for key in figures} == json.loads(json.dumps(figures))
    assert not any(tmp_path.iterdir())


def test_every_study_is_on_a_page():
    pages = "".join((ROOT / page).read_text("utf-8") for page in PAGES)
    shown = {study for study, _ in re.findall(r"<!-- results: (\w+) (\w+) -->", pages)}
    assert shown == set(NAMES) - {"quick"}


def test_what_is_said_of_the_base():
    assert (SLIP_RATE, FIND_RATE, RECHECK_SHARES[0], MAX_RECHECKS) == (0.3, 0.5, 0.15, 3)
    assert "In three of ten worked answers" in PAGE and "with\nprobability one half" in PAGE
    assert "Fifteen in a\nhundred of the worked answers" in PAGE


def test_what_is_said_of_the_shortest_answers():
    tokenizer = AutoTokenizer.from_pretrained(ROOT / "recipes/tiny/base")

    def lengths(task):
        answers = [make_sample(task, "test", seed).work(0, None) for seed in range(100)]
        found = [len(tokenizer(answer)["input_ids"]) + 1 for answer in answers]
        return min(found), max(found)

    assert (lengths("math"), lengths("ocr")) == ((27, 31), (16, 22))
    assert "has 27 to 31 tokens on `math` and 16 to 22 on codes" in LENGTH


def reproduce(*variables):
    # As from a shell, also where make itself runs these tests.
    environment = {name: value for name, value in os.environ.items() if not re.match("MAKE|MFLAGS", name)}
    done = subprocess.run(
        ["make", "-n", "reproduce", *variables], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    lines = [line.partition(" -m recipes.tiny.")[2] for line in done.stdout.splitlines()[1:]]
    return [" ".join(line.split()) for line in lines] or done.stderr


def test_make_reproduce_runs_the_papers_results_or_every_study():
    lengths, mixture, merging, last = reproduce()
    assert (lengths, mixture, last) == (
        "study recipes/tiny/studies/lengths.yaml",
        "study recipes/tiny/studies/mixture.yaml",
        "evidence",
    )
    assert merging == "merge_study recipes/tiny/studies/merging.yaml"
    *lines, last = reproduce("STUDIES=all")
    order = [Path(line.split()[1]).stem for line in lines]
    assert last == "evidence" and sorted(order) == sorted(set(NAMES) - {"quick"})
    for line, name in zip(lines, order, strict=True):
        assert line.split()[0] == ("merge_study" if isinstance(settings(name), MergeStudy) else "study")
    # Experts before what is made of them.
    made_of = {"merging": ("lengths", "mixture"), "merging_constant": ("lengths_constant",)}
    made_of |= {"amm_ablation": ("lengths",), "merging_uneven": ("lengths", "short"), "merging_dapo": ("dapo",)}
    for made, experts in made_of.items():
        assert all(order.index(expert) < order.index(made) for expert in experts)


def test_make_reproduce_takes_seeds_lanes_and_another_place():
    assert reproduce("QUICK=1") == ["study recipes/tiny/studies/quick.yaml"]
    assert reproduce("STUDIES=ablation amm_ablation", "SEEDS=1,2", "JOBS=2") == [
        "study recipes/tiny/studies/ablation.yaml 'seeds=[1,2]' jobs=2",
        "merge_study recipes/tiny/studies/amm_ablation.yaml 'seeds=[1,2]'",
        "evidence",
    ]
    # A new run takes no measurements from docs/results, and leaves the pages alone.
    assert reproduce("STUDIES=dapo merging", "RESULTS=runs/again") == [
        "study recipes/tiny/studies/dapo.yaml results=runs/again/dapo measurements=runs/again/lengths",
        "merge_study recipes/tiny/studies/merging.yaml results=runs/again/merging",
    ]
    for line in reproduce("STUDIES=all", "RESULTS=runs/again"):
        name = Path(line.split()[1]).stem
        shared = getattr(settings(name), "measurements", None)
        assert re.findall("measurements=(.*?) ?$", line) == ([f"runs/again/{shared.name}"] if shared else [])
    assert "no study 'qick'; there are: lengths" in reproduce("STUDIES=lengths qick")


FIGURE = {"value": 0.5, "low": 0.4, "high": 0.6}
CELL = {"accuracy": FIGURE, "tokens": FIGURE, "on_front": True, "front_share": 0.75}
SPAN = {"value": 12.0, "low": 11.0, "high": 13.0}
NEVER = {"value": 0.0, "low": 0.0, "high": 0.0}
VERSUS = {"accuracy_difference": FIGURE, "token_ratio": FIGURE, "no_worse": True}
RESULTS = {
    "command": "python -m recipes.tiny.study x.yaml",
    "base": "0" * 64,
    "versions": {"verl": "1"},
    "study": {"reference": "grpo", "margin": 0.01, "tasks": ["math"], "seeds": [4], "methods": {"grpo": [], "lipo": []}}
    | {"test_items": 10, "samples": 1},
    "tasks": {"math": {"grpo": CELL, "lipo": CELL | VERSUS}, "all tasks": {"grpo": CELL, "lipo": CELL | VERSUS}},
    "verdicts": {"math": [{"method": "lipo", "other": "grpo"} | VERSUS], "all tasks": []},
    "training": {
        "math": {
            "grpo": {
                "last": FIGURE,
                "all": FIGURE | {"value": 0.55},
                "half": None,
                "cut_off": FIGURE,
                "responses": SPAN,
            },
            "lipo": {"last": FIGURE, "all": FIGURE, "half": SPAN, "cut_off": NEVER, "responses": SPAN},
        }
    },
    "curves": {},
}


def write(root, results=RESULTS, name="lengths"):
    file = root / f"docs/results/{name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(results))


def shown(root, kind, page="docs/page.md", name="lengths"):
    text = f"before\n<!-- results: {name} {kind} -->\nold\n<!-- end of results -->\nafter\n"
    filled = fill(text, Path(page), root)
    assert filled == fill(filled, Path(page), root)
    assert filled.startswith(f"before\n<!-- results: {name} {kind} -->\n")
    assert filled.endswith("\n<!-- end of results -->\nafter\n")
    return filled.partition("-->\n")[2].partition("\n<!-- end")[0]


def test_what_a_block_shows(tmp_path):
    assert shown(tmp_path, "table") == "*No results of `lengths` yet.*"
    write(tmp_path)
    assert "**math**" in shown(tmp_path, "table") and "**all tasks**" in shown(tmp_path, "table")
    assert "**math**" not in shown(tmp_path, "summary") and "**all tasks**" in shown(tmp_path, "summary")
    assert shown(tmp_path, "verdicts").startswith("- math: `lipo` ends 50 % below `grpo` in tokens (40 to 60)")
    assert "`grpo` (0.5 tokens, 50.0 %, in 75 % of" in shown(tmp_path, "front")
    training = shown(tmp_path, "training")
    assert "`grpo` | 0.5 (0.4 – 0.6) | 0.6 (0.4 – 0.6) | never | 50.0 % (40.0 – 60.0) | 12 (11 – 13) |" in training
    assert "`lipo` | 0.5 (0.4 – 0.6) | 0.5 (0.4 – 0.6) | 12 (11 – 13) | 0.0 % (0.0 – 0.0) | 12 (11 – 13) |" in training
    assert shown(tmp_path, "picture") == "![Length in training](results/lengths.svg)"
    assert shown(tmp_path, "picture", "README.md") == "![Length in training](docs/results/lengths.svg)"
    assert "seeds 4; 10 held-out items" in shown(tmp_path, "made")


def test_results_of_another_base_say_so(tmp_path, monkeypatch):
    write(tmp_path)
    assert "not the one in the repository" in shown(tmp_path, "made")
    monkeypatch.setattr(evidence, "base_hash", lambda: "0" * 64)
    assert "not the one in the repository" not in shown(tmp_path, "made")


@pytest.mark.parametrize(
    ("block", "message"),
    [("length table", "did you mean 'lengths'"), ("lengths tables", "did you mean 'table'")],
)
def test_a_block_of_nothing_is_refused(block, message, tmp_path):
    with pytest.raises(LipoError) as error:
        fill(f"<!-- results: {block} -->\n<!-- end of results -->\n", Path("docs/page.md"), tmp_path)
    assert message in error.value.fix


def test_every_kind_is_used_on_a_page_or_meant_for_the_readme():
    used = {kind for page in PAGES for kind in re.findall(r"<!-- results: \w+ (\w+) -->", (ROOT / page).read_text())}
    assert used == {*KINDS, "picture"}
