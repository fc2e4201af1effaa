"""Which methods of a study are compared."""

import dataclasses

import pytest

from lipo.common import LipoError, load_yaml
from recipes.tiny.evidence import STUDIES
from recipes.tiny.study.config import Study, selected


def test_a_part_of_the_methods():
    three = load_yaml(Study, STUDIES / "lengths.yaml")
    three = dataclasses.replace(three, subject=None)
    assert selected(three) == three
    assert list(selected(dataclasses.replace(three, only=["dapo"])).methods) == ["grpo", "dapo"]
    assert list(selected(dataclasses.replace(three, only=["grpo"], subject="lipo")).methods) == ["grpo", "lipo"]
    with pytest.raises(LipoError, match="only names 'dap'") as caught:
        selected(dataclasses.replace(three, only=["dap"]))
    assert "'dapo'" in caught.value.fix
