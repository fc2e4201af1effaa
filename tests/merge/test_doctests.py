"""The examples in the docstrings run and print what they say."""

import doctest
import importlib
import pkgutil

import pytest

import merge

MODULES = [name for _, name, _ in pkgutil.walk_packages(merge.__path__, "merge.")]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
