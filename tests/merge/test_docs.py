from pathlib import Path

import pytest
import yaml

from lipo.common import parse, reference_table
from merge import MergeConfig, Rule
from merge.methods import get_method, method_names

TEXT = (Path(__file__).parents[2] / "docs" / "merging.md").read_text("utf-8")
LINES = TEXT.splitlines()


@pytest.mark.parametrize("cls", [MergeConfig, Rule])
def test_every_key_is_described_as_it_is(cls: type) -> None:
    assert set(reference_table(cls).splitlines()) <= set(LINES)


@pytest.mark.parametrize("name", method_names())
def test_every_method_and_its_options(name: str) -> None:
    method = get_method(name)
    (row,) = (line for line in LINES if line.startswith(f"| `{name}` |") and "arxiv.org" in line)
    assert method.summary.rstrip(".").partition(": ")[2] in row or method.summary.rstrip(".") in row
    assert all(f"arXiv {source[:10]}" in " ".join(method.function.__doc__.split()) for source in row.split("[")[1:])
    assert f"`{name}`:\n\n{reference_table(method.options)}\n" in TEXT


def test_no_method_that_does_not_exist() -> None:
    assert {line.split("`")[1] for line in LINES if "arxiv.org" in line and line.startswith("|")} == set(method_names())


def test_the_rules_shown_are_valid() -> None:
    start = LINES.index("    rules:")
    block = [line[4:] for line in LINES[start : LINES.index("", start)]]
    rules = [parse(Rule, rule, "rules") for rule in yaml.safe_load("\n".join(block))["rules"]]
    assert [rule.use for rule in rules] == ["base", "ties", "method", "average"]
    assert get_method("amm").parse_options(rules[2].options, "options").scale == 0.5
