import re
import runpy
from pathlib import Path

from lipo.common import reference_table
from lipo.estimators import RULES
from lipo.estimators.lipo import LipoConfig

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


def test_the_picture_is_of_this_code(tmp_path):
    script = ROOT / "docs" / "pictures" / "lipo_advantage.py"
    runpy.run_path(str(script))["draw"](tmp_path / "new.svg")
    assert (tmp_path / "new.svg").read_text() == script.with_suffix(".svg").read_text()
