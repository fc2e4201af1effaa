"""Advantage estimators that control length: LIPO and its relatives, as pure functions on torch tensors.

Every rule is called ``rule(scores, lengths, groups, config) -> Estimate(advantages, statistics)``. To add one, write
one file here with a config dataclass and a function under the decorator :func:`rule`; it is found by its place.

Example:
    >>> import torch
    >>> from lipo.estimators.lipo import LipoConfig, lipo
    >>> scores, lengths = torch.tensor([1.0, 1.0, 0.0]), torch.tensor([40, 90, 60])
    >>> estimate = lipo(scores, lengths, torch.zeros(3, dtype=torch.int64), LipoConfig(max_length=128))
    >>> [round(a, 2) for a in estimate.advantages.tolist()]
    [0.79, 0.17, -0.97]
"""

import importlib
import pkgutil

from lipo.estimators._rule import RULES, Estimate, Rollouts, Rule, RuleConfig, rule

for _module in pkgutil.iter_modules(__path__):
    if not _module.name.startswith("_"):
        importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["RULES", "Estimate", "Rollouts", "Rule", "RuleConfig", "rule"]
