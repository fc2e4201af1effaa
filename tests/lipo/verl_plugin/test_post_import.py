import importlib.util
import sys

import pytest

from lipo.verl_plugin._post_import import when_imported


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "imported_later.py").write_text("value = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "imported_later"
    sys.modules.pop("imported_later", None)


def test_actions_run_in_order_after_the_import(module):
    seen = []
    when_imported(module, lambda m: seen.append(m.value))
    when_imported(module, lambda m: setattr(m, "value", 2))
    assert seen == []
    import imported_later

    assert seen == [1]
    assert imported_later.value == 2


def test_looking_for_the_module_is_not_importing_it(module):
    seen = []
    when_imported(module, lambda m: seen.append(m.value))
    assert importlib.util.find_spec(module) is not None and seen == []
    importlib.import_module(module)
    assert seen == [1]
    importlib.reload(sys.modules[module])
    assert seen == [1]


def test_action_runs_at_once_for_an_imported_module():
    seen = []
    when_imported("sys", seen.append)
    assert seen == [sys]


def test_failure_surfaces_at_the_import(module):
    def fail(_):
        raise RuntimeError("registration failed")

    when_imported(module, fail)
    with pytest.raises(RuntimeError, match="registration failed"):
        import imported_later  # noqa: F401


def test_module_that_does_not_exist_stays_unimportable():
    when_imported("no_such_module_of_ours", print)
    with pytest.raises(ModuleNotFoundError):
        import no_such_module_of_ours  # noqa: F401
