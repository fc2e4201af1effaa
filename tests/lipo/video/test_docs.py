import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import lipo.video
from lipo.common import reference_table
from lipo.video import FORMATS, FrameOptions

TEXT = (Path(__file__).parents[3] / "docs" / "video.md").read_text("utf-8")


@pytest.mark.parametrize("name", [module.name for module in pkgutil.iter_modules(lipo.video.__path__)])
def test_examples_run(name):
    assert doctest.testmod(importlib.import_module(f"lipo.video.{name}")).failed == 0


def test_settings_and_formats_are_described_as_they_are():
    assert set(reference_table(FrameOptions).splitlines()) <= set(TEXT.splitlines())
    assert all(f"| `{name}` |" in TEXT for name in FORMATS)
