"""Puts every estimator of ``lipo.estimators`` into verl's registry."""

from __future__ import annotations

from types import ModuleType

from lipo.verl_plugin._post_import import when_imported


def _register(core_algos: ModuleType) -> None:
    from lipo.estimators import RULES
    from lipo.verl_plugin.adapter import as_verl_estimator

    for name in RULES:
        if name not in core_algos.ADV_ESTIMATOR_REGISTRY:
            core_algos.register_adv_est(name)(as_verl_estimator(name))


def register_when_ready() -> None:
    """Register the estimators as soon as verl's registry exists in this process."""
    when_imported("verl.trainer.ppo.core_algos", _register)
