import contextlib
import io
import sys
from pathlib import Path

import pytest
from rich.console import Console

import eval as evaluation
from eval import Progress
from lipo.cli import main
from lipo.cli._recipes import name_paths
from lipo.cli.evaluate import _Display, evaluate, read_config
from lipo.common import LipoError


def _show(updates, **options):
    output = io.StringIO()
    with _Display(Console(file=output, width=120, **options)) as display:
        for update in updates:
            display.update(update)
    return output.getvalue()


def test_plain_lines_say_what_happens_without_flooding():
    updates = [Progress("base", "math", 0, 400, 0), Progress("base", "math", 0, 400, 0, loading=True)]
    updates += [Progress("base", "math", done, 400, 50 * done) for done in range(1, 401)]
    lines = _show(updates).splitlines()
    assert lines[:2] == ["base on math: 0/400 answers", "base on math: vLLM is loading"]
    assert lines[-1] == "base on math: 400/400 answers"
    assert len(lines) < 6


def test_a_terminal_gets_a_bar_and_labels_are_not_markup():
    updates = [Progress("[red]", "math", 0, 40, 0, loading=True), Progress("[red]", "math", 40, 40, 900)]
    shown = _show(updates, force_terminal=True)
    assert "[red] on math" in shown and "40/40" in shown


def test_the_judge_s_progress_is_told_apart():
    updates = [Progress("base", "math", 40, 40, 9), Progress("base", "math", 3, 40, 0, judging=True)]
    assert _show(updates).splitlines() == ["base on math: 40/40 answers", "base on math, judged: 3/40 answers"]


NONE = dict.fromkeys(("models", "out", "baseline", "address")) | {"sampling": {"samples": None, "temperature": None}}
RECIPE = "recipes/tiny/eval.yaml"


@pytest.fixture
def questions(tmp_path):
    path = tmp_path / "q.parquet"
    path.touch()
    return path


def test_flags_alone_make_a_configuration(questions):
    flags = NONE | {
        "models": name_paths(["new=b/x", "a/old"], "models", "LABEL=DIRECTORY"),
        "out": "o",
        "sampling": {"samples": 4},
    }
    words = ["engine.dtype=float32", "benchmarks.q.scorer=math"]
    config = read_config(words, flags, [str(questions), f"other={questions}"])
    assert config.models == {"new": Path("b/x"), "old": Path("a/old")} and config.baseline == "new"
    assert (config.sampling.samples, config.sampling.temperature, config.engine.dtype) == (4, 1.0, "float32")
    assert [(b.source, b.scorer) for b in config.benchmarks.values()] == [(questions, "math"), (questions, None)]
    assert config.out == Path("o") and config.address is None


def test_declared_benchmarks_are_looked_for_where_data_dir_says(tmp_path):
    flags = NONE | {"models": {"a": "recipes/tiny/base"}, "out": str(tmp_path / "out")}
    config = read_config([f"data_dir={tmp_path}"], flags, ["mathvista"])
    with pytest.raises(LipoError, match=f"no data of 'mathvista' in {tmp_path}"):
        evaluation.run(config)


def test_flags_win_over_a_recipe_and_overrides_over_both():
    config = read_config([RECIPE, "sampling.seed=3"], NONE | {"address": "auto", "sampling": {"samples": 2}}, [])
    assert (config.sampling.seed, config.sampling.samples, config.address) == (3, 2, "auto")
    assert len(config.claims) == 4 and config.baseline == "base" and list(config.models)[-1] == "merged"
    assert read_config([RECIPE, "sampling.samples=8"], NONE | {"sampling": {"samples": 2}}, []).sampling.samples == 8
    only = read_config([RECIPE, "claims=[]"], NONE | {"models": {"a": "x", "base": "y"}}, [])
    assert (list(only.models), only.baseline) == (["a", "base"], "base")
    other = read_config([RECIPE, "claims=[]"], NONE | {"models": {"a": "x"}}, [])
    assert other.baseline == "a"
    assert read_config([RECIPE], NONE | {"baseline": "math"}, []).baseline == "math"


def test_mistakes_in_flags_are_named():
    with pytest.raises(LipoError, match="Missing argument 'recipe'"):
        evaluate(None, [])
    with pytest.raises(LipoError, match="two models are called 'x': a/x and b/x"):
        name_paths(["a/x", "b/x"], "models", "LABEL=DIRECTORY")
    with pytest.raises(LipoError, match="two recipes: a and b"):
        read_config(["a", "b"], NONE, [])
    with pytest.raises(LipoError, match="the command line has no key 'benchmarks'"):
        read_config([], NONE | {"models": {"a": "x"}}, [])
    with pytest.raises(LipoError, match="samples is 0"):
        read_config([RECIPE], NONE | {"sampling": {"samples": 0}}, [])
    with pytest.raises(LipoError, match="no benchmark is declared as 'mathvisto'; did you mean 'mathvista'"):
        read_config([RECIPE], NONE, ["mathvisto"])


def test_flags_reach_the_evaluation(tmp_path, monkeypatch):
    """Up to the first mistake that only the evaluation itself can find."""
    monkeypatch.setattr(
        sys, "argv", ["lipo", "eval", "--model", "a=nowhere", "--model", "b=there", "--out", str(tmp_path)]
    )
    source = tmp_path / "q.parquet"
    source.touch()
    sys.argv += ["--benchmarks", f"q={source}", "--samples", "2"]
    with pytest.raises(SystemExit) as end, contextlib.redirect_stderr(io.StringIO()) as error:
        main()
    assert end.value.code == 2 and "no model 'a' at nowhere" in error.getvalue()


def test_mistakes_in_the_recipe_are_named(tmp_path):
    recipe = tmp_path / "eval.yaml"
    recipe.write_text("models: {base: nowhere}\nbaseline: base\nout: out\nbenchmarks: {m: {source: q, scorer: math}}\n")
    with pytest.raises(LipoError, match="no model 'base' at nowhere"):
        evaluate(recipe, [])
    with pytest.raises(LipoError, match="unknown key 'temprature'"):
        evaluate(recipe, ["sampling.temprature=0"])
    with pytest.raises(LipoError, match="no recipe at"):
        evaluate(tmp_path / "none.yaml", [])
