"""The verl plug-in: verl imports this module in every process through the entry-point group ``verl.plugins``.

After ``pip install``, ``algorithm.adv_estimator=lipo`` works in an existing verl set-up with no other change. The
import is light: estimators and corrections attach when verl itself imports the module they belong to.
"""

from __future__ import annotations

import sys
import traceback

try:
    from lipo.verl_plugin import compat, registration

    compat.warn_if_untested()
    registration.register_when_ready()
    compat.apply_when_ready()
except Exception:
    # verl logs a plug-in's exception at DEBUG only (verl/__init__.py:81) and fails later with "Unknown advantage
    # estimator"; the user must see the cause.
    print("lipo: the verl plug-in failed to load; its estimators are not available", file=sys.stderr)
    traceback.print_exc()
    raise
