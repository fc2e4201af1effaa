import doctest
import importlib
import pkgutil
import re
from collections import Counter
from pathlib import Path

import pytest

import reward_fns
from lipo.common import reference_table
from reward_fns import MathOptions, OcrOptions, RewardOptions, StructuredOptions
from reward_fns.video import VideoOptions

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "rewards.md").read_text(encoding="utf-8")
DATA = Path(__file__).parent / "data"


@pytest.mark.parametrize("cls", [RewardOptions, MathOptions, StructuredOptions, OcrOptions, VideoOptions])
def test_every_setting_is_described_as_it_is(cls):
    lines = TEXT.splitlines()
    for row in reference_table(cls).splitlines():
        assert row in lines


@pytest.mark.parametrize("name", [module.name for module in pkgutil.iter_modules(reward_fns.__path__)])
def test_examples_of_each_module_run(name):
    assert doctest.testmod(importlib.import_module(f"reward_fns.{name}")).failed == 0


def test_examples_run():
    # Indented blocks, with the prose between them blanked.
    lines = "\n".join(line[4:] if line.startswith("    ") else "" for line in TEXT.splitlines()) + "\n"
    examples = doctest.DocTestParser().get_doctest(lines, {}, "rewards.md", None, 0)
    assert examples.examples
    assert doctest.DocTestRunner().run(examples).failed == 0


def test_sizes_of_the_corpora_are_as_stated():
    pairs = len((DATA / "pairs.tsv").read_text(encoding="utf-8").splitlines()) - 1
    hostile = len((DATA / "hostile.jsonl").read_text(encoding="utf-8").splitlines())
    assert f"{pairs} pairs of ground truth" in TEXT
    assert re.search(rf"\b{hostile} hostile answers", TEXT)


def test_sizes_of_the_third_set_are_as_stated():
    pairs = [line.split("\t")[:2] for line in (DATA / "pairs.tsv").read_text(encoding="utf-8").splitlines()]
    sizes = Counter(family.removesuffix("_relaxed") for family, kind in pairs if kind == "tricks III")
    prose = re.search(r'The (\d+) pairs of class "tricks III".*?(\(math .*?\))', TEXT, re.DOTALL)
    assert int(prose[1]) == sizes.total()
    order = ("math", "multiple_choice", "counting_yes_no", "structured", "ocr")
    assert [int(size) for size in re.findall(r"of (\d+)", prose[2])] == [sizes[family] for family in order]
