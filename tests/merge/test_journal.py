from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipo.common import LipoError
from merge.journal import Journal, workspace


def test_remembers(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.add("a", {"sha256": "1"})
    journal.add("b", {"sha256": "2"})
    journal.close()
    assert Journal(path).records == {"a": {"sha256": "1"}, "b": {"sha256": "2"}}


@given(st.integers(0, 200))
def test_a_torn_line_is_dropped_and_overwritten(tmp_path_factory: pytest.TempPathFactory, keep: int) -> None:
    path = tmp_path_factory.mktemp("torn") / "journal.jsonl"
    journal = Journal(path)
    for key in "abc":
        journal.add(key, {"value": key})
    journal.close()
    content = path.read_bytes()
    path.write_bytes(content[:keep])
    whole = content[:keep].count(b"\n")
    again = Journal(path)
    assert list(again.records) == list("abc")[:whole]
    again.add("d", {"value": "d"})
    again.close()
    assert list(Journal(path).records) == [*list("abc")[:whole], "d"]


def test_workspace_stays_after_an_error_and_goes_after_success(tmp_path: Path) -> None:
    out = tmp_path / "runs" / "merged"
    with pytest.raises(RuntimeError), workspace(out, "f" * 64) as work:
        (work / "half").touch()
        raise RuntimeError
    with workspace(out, "f" * 64) as again:
        assert again == work and (again / "half").exists()
    assert list(out.parent.iterdir()) == []


def test_leftovers_of_another_recipe_are_removed(tmp_path: Path) -> None:
    out = tmp_path / "merged"
    with pytest.raises(RuntimeError), workspace(out, "a" * 64):
        raise RuntimeError
    with workspace(out, "b" * 64) as work:
        assert [p.name for p in tmp_path.iterdir()] == [work.name]


@pytest.mark.parametrize("other", ["a", "b"])
def test_only_one_at_a_time(tmp_path: Path, other: str) -> None:
    out = tmp_path / "merged"
    with workspace(out, "a" * 64) as work:
        with pytest.raises(LipoError, match="another process is merging"), workspace(out, other * 64):
            pass
        assert work.exists()


@pytest.mark.parametrize("scale", ["scale1", "scale1.5"])
def test_work_on_a_longer_name_is_another_merge(tmp_path: Path, scale: str) -> None:
    with pytest.raises(RuntimeError), workspace(tmp_path / f"{scale}.5", "a" * 64) as other:
        raise RuntimeError
    with workspace(tmp_path / scale, "b" * 64):
        assert other.exists()
    with workspace(tmp_path / f"{scale}.5", "a" * 64), workspace(tmp_path / scale, "b" * 64):
        pass


def test_a_name_with_glob_characters_is_locked_too(tmp_path: Path) -> None:
    out = tmp_path / "amm[v2]"
    with workspace(out, "a" * 64), pytest.raises(LipoError, match="another process"), workspace(out, "b" * 64):
        pass
