import pytest

from lipo.common.storage import Destination


def test_one_that_dies_while_claiming_may_claim_again(tmp_path, monkeypatch):
    pytest.importorskip("fsspec")
    url, directory = f"memory://bucket{tmp_path}", tmp_path / "run/export"
    mark = Destination._mark

    def dies(self, **content):
        mark(self, **content)
        raise KeyboardInterrupt

    monkeypatch.setattr(Destination, "_mark", dies)
    with pytest.raises(KeyboardInterrupt):
        Destination(url, directory).claim()
    monkeypatch.undo()
    Destination(url, directory).claim()
