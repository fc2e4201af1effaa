"""Every estimator in verl's own trainer, started as in an existing verl set-up: two steps each on the tiny model.

Some have a run of their own, by ``algorithm.adv_estimator=<name>``. The others take turns in one run, called through
verl's registry by its trainer all the same (``relay_estimator.py``).
"""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from omegaconf import OmegaConf

from lipo.estimators import RULES
from lipo.training import read_history
from lipo.training.environment import training_environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

STEPS, PROMPTS, RESPONSES, LIMIT = 2, 4, 4, 288
SMALL = (
    f"trainer.total_training_steps={STEPS}",
    "trainer.save_freq=-1",
    f"data.train_batch_size={PROMPTS}",
    f"actor_rollout_ref.rollout.n={RESPONSES}",
    f"actor_rollout_ref.actor.ppo_mini_batch_size={PROMPTS}",
    "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=16",
    "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=16",
    "trainer.rollout_data_dir=rollouts",
)

# Runs of their own show verl's other trainers, too, and verl without its plug-in discovery.
OVERRIDES = {
    "kimi_length": ["trainer.v1.trainer_mode=colocate_async"],
    "laser": ["trainer.use_v1=false"],
}
VARIABLES = {"kimi_length": {"VERL_USE_EXTERNAL_PLUGINS": "none", "VERL_USE_EXTERNAL_MODULES": "lipo.verl_plugin"}}
RELAYED = [name for name in RULES if name not in OVERRIDES]


@pytest.fixture(scope="module")
def configuration(tmp_path_factory):
    """A verl configuration and its data, as somebody may have them who has never heard of our recipes."""
    directory = tmp_path_factory.mktemp("verl")
    data = directory / "runs/demo/data"
    sizes = ["--train=64", "--validation=8", "--test=8"]
    subprocess.run([sys.executable, "-m", "recipes.tiny.make_data", "--out", str(data), *sizes], check=True)
    lipo = [sys.executable, "-c", "from lipo.cli import main; main()", "train", "recipes/tiny/math.yaml", "--dry-run"]
    text = subprocess.run([*lipo, *SMALL], cwd=directory, check=True, capture_output=True, text=True).stdout
    (directory / "config.yaml").write_text(text)
    return directory / "config.yaml"


def train(configuration, command, name, overrides, variables):
    metrics = command.directory / "metrics" / "attempt-0001.jsonl"
    metrics.parent.mkdir()
    process = command.start_program(
        *(sys.executable, "-m", "verl.trainer.main_ppo"),
        *("--config-path", str(configuration.parent), "--config-name", "config"),
        f"algorithm.adv_estimator={name}",
        "++ray_kwargs.ray_init.address=local",
        f"hydra.run.dir={command.directory}/hydra",
        *overrides,
        **(training_environment(OmegaConf.load(configuration), metrics) | variables),
    )
    status = command.finish(process, 600)
    assert status == 0, command.output()[-3000:]
    command.assert_nothing_left()
    return command.directory


def limit(name):
    return f"++algorithm.{name}.max_length=${{data.max_response_length}}"


def train_alone(name, configuration, command):
    return train(configuration, command, name, [limit(name), *OVERRIDES[name]], VARIABLES.get(name, {}))


def train_in_turn(names, configuration, command):
    turns = [name for name in names for _ in range(STEPS)]
    variables = {
        "RELAY": ",".join(turns),
        "VERL_USE_EXTERNAL_MODULES": "relay_estimator",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")])),
    }
    overrides = [*map(limit, names), f"trainer.total_training_steps={len(turns)}"]
    return train(configuration, command, "relay", overrides, variables)


@pytest.fixture(scope="module")
def trained(request, configuration, new_command):
    """Name → its run and its first step there; two runs at a time where memory allows, as most of each is start-up.

    One at a time beside another of pytest's workers.
    """
    names = [item.callspec.params["name"] for item in request.session.items if item.path == request.path]
    relayed = [name for name in names if name in RELAYED]
    alone = "PYTEST_XDIST_WORKER" not in os.environ
    at_once = 2 if alone and psutil.virtual_memory().available > 19e9 else 1
    with ThreadPoolExecutor(at_once) as pool:
        runs = {}
        if relayed:
            run = pool.submit(train_in_turn, relayed, configuration, new_command())
            runs = {name: (run, 1 + STEPS * turn) for turn, name in enumerate(relayed)}
        for name in names:
            if name not in RELAYED:
                runs[name] = pool.submit(train_alone, name, configuration, new_command()), 1
        yield runs
        for run, _ in runs.values():
            run.cancel()


@pytest.mark.parametrize("name", RULES)
def test_two_steps(name, trained, used_in):
    run, first = trained[name]
    directory = run.result()
    history = read_history(directory / "metrics")[first - 1 : first - 1 + STEPS]
    assert [entry.step for entry in history] == [first, first + 1]
    for entry in history:
        # In colocate_async the second step's rollouts began under the first step's weights.
        stale = "trainer.v1.trainer_mode=colocate_async" in OVERRIDES.get(name, []) and entry.step > 1
        assert entry.values["training/rollout_actor_probs_pearson_corr"] > (0.9 if stale else 0.98)
        logged = {key: value for key, value in entry.values.items() if key.startswith("lipo/")}
        assert {"lipo/truncation", "lipo/all_correct_groups", "lipo/all_wrong_groups"} <= logged.keys()
        (dump,) = directory.rglob(f"rollouts/{entry.step}.jsonl")
        if "trainer.use_v1=false" in OVERRIDES.get(name, []):
            continue  # The old trainer does not say which rows belong together.
        assert used_in(RULES[name], entry.values, dump, PROMPTS * RESPONSES, LIMIT)
