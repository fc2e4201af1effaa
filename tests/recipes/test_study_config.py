"""Which methods of a study are compared."""

import dataclasses
import json
import sys
from pathlib import Path

import pytest

from lipo.common import LipoError, load_yaml
from recipes.tiny.evidence import ROOT, STUDIES
from recipes.tiny.study.__main__ import main
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


def test_a_part_from_the_command_line(tmp_path, monkeypatch):
    """All of it was measured before, so nothing is trained."""
    lengths = load_yaml(Study, STUDIES / "lengths.yaml")
    chosen = ["only=[dapo]", "tasks=[math]", "seeds=[1]", "subject=null"]
    committed = ROOT / lengths.results
    places = [f"out={tmp_path}/out", f"results={tmp_path}/part", f"measurements={committed}"]
    monkeypatch.setattr("sys.unraisablehook", sys.unraisablehook)
    monkeypatch.setattr("sys.argv", ["study", str(STUDIES / "lengths.yaml"), *chosen, *places])
    main()
    part, whole = (json.loads(Path(f"{place}.json").read_text()) for place in (tmp_path / "part", committed))
    assert list(part["tasks"]["math"]) == ["base", "grpo", "dapo"]
    assert part["curves"] == {name: whole["curves"][name] for name in ("math-grpo-1", "math-dapo-1")}
    assert "`lipo`" not in (tmp_path / "part.md").read_text()
    assert not (tmp_path / "out").exists()
