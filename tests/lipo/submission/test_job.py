import json
import subprocess
from pathlib import Path, PurePosixPath

import pytest

from lipo.common import LipoError
from lipo.submission import build_job, command_for, refuse_secrets

ROOT = Path(__file__).parents[3]
SHARED = PurePosixPath("/shared/lipo")


def job(folder, recipe="recipes/tiny/demo.yaml", overrides=(), command="run", **more):
    options = {"root": SHARED, "working_dir": folder, "variables": {}} | more
    return build_job(command, Path(recipe), overrides, **options)


@pytest.mark.parametrize(
    ("recipe", "command"),
    [
        ("recipes/tiny/demo.yaml", "run"),
        ("recipes/tiny/math.yaml", "train"),
        ("recipes/tiny/merge.yaml", "merge"),
        ("recipes/tiny/eval.yaml", "eval"),
        ("recipes/qwen2_5_vl_3b/pipeline.yaml", "run"),
        ("recipes/qwen2_5_vl_3b/mixture.yaml", "train"),
    ],
)
def test_a_recipe_tells_its_command(recipe, command):
    assert command_for(ROOT / recipe) == command


@pytest.mark.parametrize("recipe", ["tiny", "qwen2_5_vl_3b"])
def test_supervised_training_is_no_job(recipe):
    with pytest.raises(LipoError, match="run 'lipo sft "):
        command_for(ROOT / "recipes" / recipe / "video_sft.yaml")


def test_a_file_of_nobody(tmp_path):
    (tmp_path / "x.yaml").write_text("a: 1\n")
    with pytest.raises(LipoError, match="say which with --command"):
        command_for(tmp_path / "x.yaml")
    (tmp_path / "x.yaml").write_text("a: [\n")
    with pytest.raises(LipoError, match="cannot read"):
        command_for(tmp_path / "x.yaml")


def run_entrypoint(entrypoint, folder, **variables):
    """What the shell on the head would start: a fake python that prints its words, place and path."""
    tool = folder / "bin"
    tool.mkdir(exist_ok=True)
    (tool / "python").write_text(
        '#!/bin/sh\necho "at $(pwd)"\necho "path $PYTHONPATH"\necho "sent $LIPO_SENT"\n'
        'for w in "$@"; do echo "<$w>"; done\n'
    )
    (tool / "python").chmod(0o755)
    environment = {"PATH": f"{tool}:/usr/bin:/bin", **variables}
    return subprocess.run(entrypoint, shell=True, cwd=folder, env=environment, capture_output=True, text=True)


def test_the_command_runs_in_the_root_and_finds_the_recipe_in_the_copy(tmp_path):
    (tmp_path / "my recipes").mkdir()
    recipe = tmp_path / "my recipes/it's.yaml"
    recipe.write_text("")
    shared = tmp_path / "shared dir"
    built = job(tmp_path, recipe, ["a=$(touch pwned)", "b=x y; z"], root=PurePosixPath(shared))
    done = run_entrypoint(built.entrypoint, tmp_path, PYTHONPATH="/already")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"at {shared}",
        f"path {tmp_path}:/already",
        f"sent {tmp_path}",
        "<-u>", "<-m>", "<lipo.cli>", "<run>", f"<{recipe}>", "<a=$(touch pwned)>", "<b=x y; z>", "<address=auto>",
    ]  # fmt: skip
    assert not list(tmp_path.rglob("pwned"))


def test_a_recipe_of_the_package_is_named_and_looked_up_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    built = job(tmp_path, root=PurePosixPath(tmp_path / "root"))
    done = run_entrypoint(built.entrypoint, tmp_path)
    assert "<recipes/tiny/demo.yaml>" in done.stdout.splitlines(), done.stderr
    # One's own file of that name goes along, and comes first.
    (tmp_path / "recipes/tiny").mkdir(parents=True)
    (tmp_path / "recipes/tiny/demo.yaml").write_text("")
    done = run_entrypoint(job(tmp_path, root=PurePosixPath(tmp_path / "root")).entrypoint, tmp_path)
    assert f"<{tmp_path}/recipes/tiny/demo.yaml>" in done.stdout.splitlines(), done.stderr


def test_a_secret_must_be_there_on_the_cluster(tmp_path):
    built = job(tmp_path, secrets=["WANDB_API_KEY"], root=PurePosixPath(tmp_path / "root"))
    done = run_entrypoint(built.entrypoint, tmp_path)
    assert done.returncode != 0 and "WANDB_API_KEY: is not set on the cluster" in done.stderr
    done = run_entrypoint(built.entrypoint, tmp_path, WANDB_API_KEY="hush-hush-hush")
    assert done.returncode == 0 and "hush" not in done.stdout + done.stderr + json.dumps(built.runtime_env)


def test_what_goes_along(tmp_path):
    built = job(tmp_path, variables={"NCCL_DEBUG": "WARN"}, excludes=["big"], command="merge")
    assert built.runtime_env["env_vars"]["NCCL_DEBUG"] == "WARN"
    assert {".venv", "/runs", "*.env", "big"} <= set(built.runtime_env["excludes"])
    assert "address=auto" in built.entrypoint
    assert "address=auto" not in job(tmp_path, command="train").entrypoint


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"command": "demo"}, "no command is called 'demo'"),
        ({"root": PurePosixPath("runs")}, "--root runs is relative"),
        ({"variables": {"A B": "1"}}, "no name of an environment variable"),
        ({"secrets": ["$(id)"]}, "no name of an environment variable"),
        ({"recipe": "/etc/passwd"}, "is not in the working directory"),
    ],
)
def test_mistakes(tmp_path, options, message):
    with pytest.raises(LipoError, match=message.replace("$", r"\$").replace("(", r"\(")):
        job(tmp_path, **options)


@pytest.mark.parametrize(
    ("words", "variables", "message"),
    [
        ([], {"HF_TOKEN": "x"}, "--env HF_TOKEN"),
        ([], {"aws_secret_access_key": "x"}, "--env aws_secret_access_key"),
        ([], {"MY_APIKEY": "x"}, "--env MY_APIKEY"),
        ([], {"PGPASSWORD": "x"}, "--env PGPASSWORD"),
        ([], {"NGROK_AUTHTOKEN": "x"}, "--env NGROK_AUTHTOKEN"),
        (["trainer.note=s3cr3t-value-1"], {}, r"the value of \$PLANTED_TOKEN"),
        ([], {"HARMLESS": "x s3cr3t-value-1"}, r"the value of \$PLANTED_TOKEN"),
        (["data.train_files=s3://me:pass@host/x"], {}, "a URL with a password"),
    ],
)
def test_secrets_are_refused_and_not_repeated(words, variables, message):
    with pytest.raises(LipoError, match=message) as caught:
        refuse_secrets(words, variables, {"PLANTED_TOKEN": "s3cr3t-value-1"})
    assert "s3cr3t" not in str(caught.value) and "pass@" not in str(caught.value)


def test_ordinary_words_pass():
    refuse_secrets(["a=1", "model=Qwen/Qwen2.5-VL-3B-Instruct", "x=http://host:8265/y"],
                   {"NCCL_DEBUG": "INFO", "TOKENIZERS_PARALLELISM": "false"},
                   {"EMPTY_TOKEN": "", "SHORT_KEY": "a=1"})  # fmt: skip
