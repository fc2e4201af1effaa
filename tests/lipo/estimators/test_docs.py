import json
import re
import runpy
from pathlib import Path

from lipo.common import reference_table
from lipo.estimators import RULES
from lipo.estimators.lipo import LipoConfig
from recipes.tiny.study.render import number, share

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "length-control.md").read_text("utf-8")


def test_lipos_options_are_described_as_they_are():
    table = reference_table(LipoConfig)
    assert f"\n{table}\n" in PAGE
    assert f"\n{table}\n" in (ROOT / "README.md").read_text("utf-8")


def test_every_rule_is_in_the_table():
    rows = PAGE.partition("## The others")[2].partition("## While training")[0]
    named = re.findall(r"`(\w+)`", "\n".join(row.split("|")[1] for row in rows.splitlines() if row.startswith("| `")))
    assert sorted([*named, "lipo"]) == sorted(RULES)


def test_the_comparison_is_that_of_the_committed_figures():
    table = (ROOT / "docs/results/length_control.md").read_text("utf-8")
    assert table.partition("\n\n")[2].strip() in PAGE
    figures = json.loads((ROOT / "docs/results/length_control.json").read_text("utf-8"))["tasks"]["math"]
    rows = {row.split("`")[1]: row for row in table.splitlines() if row.startswith("| `")}
    assert set(rows) == set(figures)
    for method, row in rows.items():
        assert f"| {share(figures[method]['accuracy'])} | {number(figures[method]['tokens'])} |" in row


def test_the_picture_is_of_this_code(tmp_path):
    script = ROOT / "docs" / "pictures" / "lipo_advantage.py"
    runpy.run_path(str(script))["draw"](tmp_path / "new.svg")
    assert (tmp_path / "new.svg").read_text() == script.with_suffix(".svg").read_text()
