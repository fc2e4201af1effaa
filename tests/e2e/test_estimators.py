"""Every estimator in verl's own trainer, started as in an existing verl set-up: two steps each on the tiny model."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from omegaconf import OmegaConf

from lipo.estimators import RULES
from lipo.training import read_history
from lipo.training.environment import training_environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PROMPTS, RESPONSES, LIMIT = 4, 4, 288
SMALL = (
    "trainer.total_training_steps=2",
    "trainer.save_freq=-1",
    f"data.train_batch_size={PROMPTS}",
    f"actor_rollout_ref.rollout.n={RESPONSES}",
    f"actor_rollout_ref.actor.ppo_mini_batch_size={PROMPTS}",
    "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=16",
    "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=16",
    "trainer.rollout_data_dir=rollouts",
)

# What else a run shows besides its estimator: verl's other trainers, and verl without its plug-in discovery.
OVERRIDES = {
    "kimi_length": ["trainer.v1.trainer_mode=colocate_async"],
    "laser": ["trainer.use_v1=false"],
}
VARIABLES = {"alp": {"VERL_USE_EXTERNAL_PLUGINS": "none", "VERL_USE_EXTERNAL_MODULES": "lipo.verl_plugin"}}


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


def train(name, configuration, command):
    metrics = command.directory / "metrics" / "attempt-0001.jsonl"
    metrics.parent.mkdir()
    variables = training_environment(OmegaConf.load(configuration), metrics) | VARIABLES.get(name, {})
    process = command.start_program(
        *(sys.executable, "-m", "verl.trainer.main_ppo"),
        *("--config-path", str(configuration.parent), "--config-name", "config"),
        f"algorithm.adv_estimator={name}",
        f"++algorithm.{name}.max_length=${{data.max_response_length}}",
        "++ray_kwargs.ray_init.address=local",
        f"hydra.run.dir={command.directory}/hydra",
        *OVERRIDES.get(name, []),
        **variables,
    )
    status = command.finish(process, 500)
    assert status == 0, command.output()[-3000:]
    command.assert_nothing_left()
    return command.directory


@pytest.fixture(scope="module")
def trained(request, configuration, new_command):
    """The runs of the selected estimators; two at a time where memory allows, as most of each is start-up."""
    names = [item.callspec.params["name"] for item in request.session.items if item.path == request.path]
    at_once = 2 if psutil.virtual_memory().available > 19e9 else 1
    with ThreadPoolExecutor(at_once) as pool:
        runs = {name: pool.submit(train, name, configuration, new_command()) for name in names}
        yield runs
        for run in runs.values():
            run.cancel()


@pytest.mark.parametrize("name", RULES)
def test_two_steps(name, trained, used_in):
    directory = trained[name].result()
    history = read_history(directory / "metrics")
    assert [entry.step for entry in history] == [1, 2]
    for entry in history:
        # In colocate_async the second step's rollouts began under the first step's weights.
        stale = name in OVERRIDES and "colocate_async" in OVERRIDES[name][0] and entry.step > 1
        assert entry.values["training/rollout_actor_probs_pearson_corr"] > (0.9 if stale else 0.98)
        logged = {key: value for key, value in entry.values.items() if key.startswith("lipo/")}
        assert {"lipo/truncation", "lipo/all_correct_groups", "lipo/all_wrong_groups"} <= logged.keys()
        (dump,) = directory.rglob(f"rollouts/{entry.step}.jsonl")
        if "trainer.use_v1=false" in OVERRIDES.get(name, []):
            continue  # The old trainer does not say which rows belong together.
        assert used_in(RULES[name], entry.values, dump, PROMPTS * RESPONSES, LIMIT)
