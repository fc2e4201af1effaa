import json
import os

import pytest

from lipo.common import LipoError
from lipo.pipeline import HashCache, Stage, State, examine, run


@pytest.fixture
def hashes(tmp_path):
    return HashCache(tmp_path / "hashes.json")


def test_a_directory_is_its_visible_content(tmp_path, hashes):
    for name in ("x", "y"):
        (tmp_path / name / "deep").mkdir(parents=True)
        (tmp_path / name / "deep/file").write_text("1")
        (tmp_path / name / "README.md").write_text(name)
    assert hashes.content(tmp_path / "x") != hashes.content(tmp_path / "y")
    assert hashes.model(tmp_path / "x") == hashes.model(tmp_path / "y")
    before = hashes.model(tmp_path / "x")
    (tmp_path / "x/.lock").write_text("")
    assert hashes.model(tmp_path / "x") == before
    (tmp_path / "x/deep/file").rename(tmp_path / "x/deep/other")
    assert hashes.model(tmp_path / "x") != before


def test_unchanged_files_are_not_read_again(tmp_path, hashes, monkeypatch):
    file = tmp_path / "file"
    file.write_text("1")
    known = hashes.content(file)
    monkeypatch.setattr("lipo.pipeline.hashes.sha256_file", lambda _: pytest.fail("read again"))
    assert HashCache(tmp_path / "hashes.json").content(file) == known
    monkeypatch.undo()
    os.utime(file, ns=(1, 1))
    file.write_text("2")
    assert hashes.content(file) != known


def test_a_broken_cache_is_an_empty_one(tmp_path, hashes):
    (tmp_path / "file").write_text("1")
    known = hashes.content(tmp_path / "file")
    for text in ("{", "[1]", '{"a": 3}', '{"a": [1]}'):
        (tmp_path / "hashes.json").write_text(text)
        assert HashCache(tmp_path / "hashes.json").content(tmp_path / "file") == known


def test_nothing_there(tmp_path, hashes):
    with pytest.raises(LipoError, match=r"nothing at .*/none"):
        hashes.content(tmp_path / "none")


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"format": 99, "stages": {}}', '{"format": 1, "stages": {"a": {"b": 1}}}']
)
def test_a_broken_state_is_refused_not_ignored(tmp_path, hashes, text):
    (tmp_path / "pipeline.json").write_text(text)
    with pytest.raises(LipoError, match="is no state of a pipeline"):
        State(tmp_path / "pipeline.json", hashes)


def test_the_record_names_inputs_and_every_file_of_the_outputs(tmp_path, hashes):
    out = tmp_path / "out"

    def work(_):
        (out / "deep").mkdir(parents=True)
        (out / "deep/file").write_text("1")

    state = State(tmp_path / "pipeline.json", hashes)
    run([Stage("one", lambda: {"settings": "x"}, (out,), work)], state)
    record = json.loads((tmp_path / "pipeline.json").read_text())["stages"]["one"]
    assert record["inputs"] == {"settings": "x"}
    assert list(record["outputs"]) == [str(out / "deep/file")]
    # A file of the user's beside them is no damage.
    (out / "mine").write_text("2")
    run([Stage("one", lambda: {"settings": "x"}, (out,), lambda _: pytest.fail("ran again"))], state)


def test_a_directory_that_lacks_a_file_is_made_anew(tmp_path, hashes):
    out = tmp_path / "out"

    def work(_):
        # Like a training: a directory that is there is the finished one.
        if not out.exists():
            out.mkdir()
            for name in ("config.json", "model.safetensors"):
                (out / name).write_text(name)

    stages = [Stage("one", dict, (out,), work, owns=(out,))]
    state = State(tmp_path / "pipeline.json", hashes)
    run(stages, state)
    (out / "model.safetensors").unlink()
    found = examine(stages, state)["one"]
    assert (found.word, found.reason) == ("damaged", f"{out}/model.safetensors is gone")
    run(stages, state)
    assert (out / "model.safetensors").is_file() and (tmp_path / "out.replaced-1/config.json").is_file()
    assert examine(stages, state)["one"].word == "done"


def test_a_stage_must_make_its_outputs(tmp_path, hashes):
    state = State(tmp_path / "pipeline.json", hashes)
    with pytest.raises(LipoError, match="nothing at"):
        run([Stage("one", dict, (tmp_path / "out",), lambda _: None)], state)
