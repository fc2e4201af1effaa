"""A verl external module: the estimator ``relay`` takes another one of verl's registry at every step.

Most of a short verl run is its start; one run shows many estimators. ``RELAY`` names them, one for each step.
"""

import itertools
import os

from lipo.verl_plugin._post_import import when_imported

_steps = itertools.count()


def _register(core_algos):
    names = os.environ["RELAY"].split(",")

    @core_algos.register_adv_est("relay")
    def relay(**arguments):
        return core_algos.get_adv_estimator_fn(names[next(_steps)])(**arguments)


when_imported("verl.trainer.ppo.core_algos", _register)
