import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from lipo.cli._stages import Stages, read_recipes
from lipo.cli.run import fitting, run_pipeline, show
from lipo.common import LipoError, load_yaml
from lipo.pipeline import HashCache, PipelineConfig, examine
from lipo.pipeline.state import State

ROOT = Path(__file__).parents[3]
SMALL = ["--train=4", "--validation=2", "--test=2"]


def pipeline(*overrides):
    return load_yaml(PipelineConfig, ROOT / "recipes/tiny/demo.yaml", overrides)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def stages_of(config):
    return Stages(read_recipes(config), HashCache(Path("hashes.json")), Console()).all()


def test_the_graph_of_the_demo(folder):
    stages = {stage.name: stage for stage in stages_of(pipeline())}
    trainings = ("training math (lipo)", "training structured (lipo)", "training ocr (lipo)")
    assert tuple(stages) == (*trainings, "merge (amm)", "evaluation", "report")
    assert all(stages[name].needs == () for name in trainings)
    assert stages["merge (amm)"].needs == trainings
    assert stages["evaluation"].needs == (*trainings, "merge (amm)")
    assert stages["report"].needs == ("evaluation",)


def test_dry_run_writes_nothing(folder, capsys):
    show(pipeline(), Console(width=120))
    text = capsys.readouterr().out
    assert "data" in text and "to do" in text and "waits" in text
    assert list(folder.iterdir()) == []


def test_inputs_are_settings_and_content_not_places(folder):
    command = [sys.executable, "-m", "recipes.tiny.make_data", "--out", "runs/demo/data", *SMALL]
    subprocess.run(command, check=True, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin"}, capture_output=True)
    before = stages_of(pipeline())[0].inputs()
    assert set(before) == {"settings", "data.train_files[0]", "data.val_files[0]", "model"}
    elsewhere = 'training_overrides=["trainer.logger=[file]","trainer.default_local_dir=runs/x"]'
    moved = stages_of(pipeline("training=[recipes/tiny/math.yaml]", elsewhere, "address=auto"))[0]
    assert moved.inputs() == before
    assert moved.owns[1] == folder / "runs/x"
    other = stages_of(pipeline('training_overrides=["actor_rollout_ref.actor.optim.lr=1e-3"]'))[0].inputs()
    assert {key for key in before if other[key] != before[key]} == {"settings"}
    Path("runs/demo/data/math_train.parquet").write_bytes(Path("runs/demo/data/ocr_train.parquet").read_bytes())
    assert stages_of(pipeline())[0].inputs()["data.train_files[0]"] != before["data.train_files[0]"]


def test_an_expert_trained_by_hand_with_other_settings_is_not_taken_for_this_one(folder):
    test_inputs_are_settings_and_content_not_places(folder)
    from omegaconf import OmegaConf

    config = pipeline()
    (stage, *_), state = stages_of(config), State(Path("state.json"), HashCache(Path("hashes.json")))
    expert, directory = stage.owns
    for path in (expert, directory):
        path.mkdir(parents=True)
    composed = read_recipes(config).trainings[0]
    for file in (expert / "training_config.yaml", directory / "config.yaml"):
        assert examine([stage], state)[stage.name].word == "changed", "nobody knows what made it"
        file.write_text(OmegaConf.to_yaml(composed))
    assert examine([stage], state)[stage.name].word == "to do"
    composed.algorithm.adv_estimator = "grpo"
    (directory / "config.yaml").write_text(OmegaConf.to_yaml(composed))
    assert examine([stage], state)[stage.name].word == "changed"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data=os", "name a module below recipes"),
        ("data=recipes.tiny.make_data;ls", "name a module below recipes"),
        ("training=[recipes/tiny/math.yaml,recipes/tiny/math.yaml]", "two trainings have trainer.experiment_name=math"),
        ('training_overrides=["lipo.export=null"]', "has no lipo.export"),
        ("merge=recipes/tiny/none.yaml", "no recipe at recipes/tiny/none.yaml"),
        ('merge_overrides=["metod=ties"]', "did you mean 'method'"),
        ('eval_overrides=["samplin.seed=1"]', "did you mean 'sampling'"),
    ],
)
def test_mistakes_cost_nothing(folder, override, message):
    with pytest.raises(LipoError, match=message):
        read_recipes(pipeline(override))
    assert list(folder.iterdir()) == []


def test_overrides_are_those_of_the_file_or_a_mistake():
    with pytest.raises(LipoError, match="did you mean 'training'"):
        pipeline("trainin=[]")


@pytest.mark.parametrize(
    ("needed", "gpus", "slots"), [([8, 8, 8], 16, 2), ([8, 8, 8], 4, 1), ([1, 1], 8, 2), ([4, 2, 2], 6, 2)]
)
def test_trainings_beside_each_other(needed, gpus, slots):
    assert fitting(needed, gpus) == slots


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    command = [sys.executable, "-m", "recipes.tiny.make_data", "--out", folder, *SMALL]
    subprocess.run(command, check=True, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin"}, capture_output=True)
    return folder


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ('training_overrides=["actor_rollout_ref.model.path=runs/none"]', "no model at runs/none"),
        ('training_overrides=["data.train_files=none.parquet"]', r"none\.parquet \(data\.train_files\)"),
        ('training_overrides=["actor_rollout_ref.model.path=nosuch://host/model"]', "of the scheme nosuch://"),
        ('merge_overrides=["base=runs/none"]', "no model directory at runs/none"),
        ('merge_overrides=["experts.math=gs://bucket/math"]', "pip install gcsfs"),
        ('merge_overrides=["options.scael=1"]', "did you mean 'scale'"),
        ('eval_overrides=["models.other=runs/none"]', "no model 'other' at runs/none"),
        ('eval_overrides=["benchmarks.ocr.source=none.parquet"]', "has no file at none.parquet"),
        ('eval_overrides=["benchmarks.mathvista={}"]', "lipo data fetch mathvista"),
        ('eval_overrides=["benchmarks.ocr.scorer=orc"]', "orc"),
    ],
)
def test_what_a_later_stage_would_miss_stops_it_before_the_first_training(folder, data, override, message):
    """Also in the rehearsal."""
    (folder / "runs/demo").mkdir(parents=True)
    (folder / "runs/demo/data").symlink_to(data)
    config = pipeline("data=null", override)
    for start in (show, run_pipeline):
        with pytest.raises(LipoError, match=message):
            start(config, Console())
    assert not (folder / "runs/demo/training").exists()


def test_data_that_are_made_are_checked_when_they_are_there(folder, capsys):
    options = 'data_options=["--train=4","--validation=2","--test=2"]'
    config = pipeline(options, 'training_overrides=["data.train_files=runs/demo/data/none.parquet"]')
    show(config, Console())
    with pytest.raises(LipoError, match=r"runs/demo/data/none\.parquet"):
        run_pipeline(config, Console())
    assert "data finished" in capsys.readouterr().out and not (folder / "runs/demo/training").exists()


@pytest.mark.parametrize(
    ("busy", "message"), [("psutil.virtual_memory", "8 GB of free memory"), ("shutil.disk_usage", "0.00 GB free")]
)
def test_only_a_training_that_is_not_done_needs_room(folder, data, monkeypatch, busy, message):
    out = folder / "runs/demo"
    out.mkdir(parents=True)
    (out / "data").symlink_to(data)
    config = pipeline("data=null", "merge=null", "eval=null", "training=[recipes/tiny/math.yaml]")
    monkeypatch.setattr(busy, lambda *_: SimpleNamespace(available=0, free=0))
    with pytest.raises(LipoError, match=message):
        run_pipeline(config, Console())
    (stage,) = stages_of(config)
    (stage.outputs[0]).mkdir(parents=True)
    (stage.outputs[0] / "config.json").write_text("{}")
    State(out / "pipeline.json", HashCache(out / "hashes.json")).finish(stage, stage.inputs(), 1.0)
    run_pipeline(config, Console())
