import re

import pytest
from typer.testing import CliRunner

from lipo.cli._app import app
from lipo.common import LipoError

RECIPE = "recipes/qwen2_5_vl_3b/math.yaml"


def run(*arguments):
    return CliRunner().invoke(app, ["plan", RECIPE, *arguments], catch_exceptions=False, env={"COLUMNS": "160"})


def test_a_recipe_that_fits():
    result = run()
    assert result.exit_code == 0
    assert "3.75 billion parameters on 8 × a100-80gb" in result.output
    assert result.output.rstrip().endswith("fits") and "does not" not in result.output
    assert "120 steps" in result.output


def test_dynamic_sampling_draws_more():
    plain, defaults, more = run(), run("rule=dapo_lipo"), run("rule=dapo_lipo", "--oversampling", "4")
    assert "times as many drawn" not in plain.output
    assert "2.5 times as many drawn" in defaults.output and "4 times as many drawn" in more.output
    generation = [float(re.search(r"\((\d+) generation", r.output)[1]) for r in (plain, defaults, more)]
    assert generation == [pytest.approx(generation[0] * factor, abs=4) for factor in (1, 2.5, 4)]


def test_one_that_does_not_says_what_to_change():
    result = run("trainer.n_gpus_per_node=1")
    assert result.exit_code == 1
    assert "does not fit" in result.output
    assert "actor_rollout_ref.actor.fsdp_config.optimizer_offload=true" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["profile=cpu"], "runs on CPUs"),
        (["--gpu", "h100"], "no GPU is called 'h100'; did you mean 'h100-80gb'"),
        (["~lipo.gpu"], "the recipe names no GPU"),
        (["actor_rollout_ref.model.path=models/other"], "no model at"),
        (["trainer.total_training_steps=null"], "total_training_steps is not set"),
    ],
)
def test_mistakes(arguments, message):
    with pytest.raises(LipoError, match=message):
        run(*arguments)
