import io

import pytest
from rich.console import Console

from eval import Progress
from lipo.cli.evaluate import _Display, evaluate
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


def test_mistakes_in_the_recipe_are_named(tmp_path):
    recipe = tmp_path / "eval.yaml"
    recipe.write_text("models: {base: nowhere}\nbaseline: base\nout: out\nbenchmarks: {m: {source: q, scorer: math}}\n")
    with pytest.raises(LipoError, match="no model 'base' at nowhere"):
        evaluate(recipe, [])
    with pytest.raises(LipoError, match="unknown key 'temprature'"):
        evaluate(recipe, ["sampling.temprature=0"])
    with pytest.raises(LipoError, match="no recipe at"):
        evaluate(tmp_path / "none.yaml", [])
