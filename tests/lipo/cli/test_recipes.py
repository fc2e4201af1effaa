from pathlib import Path

import pytest

from lipo.cli._recipes import find_recipe
from lipo.common import LipoError
from lipo.submission import SENT


def test_in_a_job_recipes_name_each_other_in_what_was_sent(tmp_path, monkeypatch):
    """The job runs in the directory of its results; what it was sent with lies elsewhere."""
    root, sent = tmp_path / "root", tmp_path / "sent"
    for folder in (root, sent / "my"):
        folder.mkdir(parents=True)
    monkeypatch.chdir(root)
    merge = Path("my/merge.yaml")
    (sent / merge).write_text("")
    with pytest.raises(LipoError, match=r"no recipe at my/merge\.yaml"):
        find_recipe(merge)
    monkeypatch.setenv(SENT, str(sent))
    assert find_recipe(merge) == sent / merge
    packaged = find_recipe(Path("recipes/tiny/merge.yaml"))
    assert packaged.is_file() and not packaged.is_relative_to(tmp_path)
    (root / "my").mkdir()
    (root / merge).write_text("")
    assert find_recipe(merge) == merge
