import pytest
from omegaconf import OmegaConf

from lipo.common import LipoError
from lipo.sft import run


@pytest.fixture
def config(tmp_path):
    trainer = {"default_local_dir": str(tmp_path / "run"), "total_training_steps": 6, "total_epochs": 3}
    return OmegaConf.create({"trainer": trainer, "lipo": {"export": str(tmp_path / "model")}})


def test_a_model_of_an_earlier_step_is_not_taken_for_the_finished_one(config, tmp_path, monkeypatch):
    def ends_early(config, directory, *_):
        (directory / "latest_checkpointed_iteration.txt").write_text("3")

    monkeypatch.setattr(run, "_run_verl", ends_early)
    with pytest.raises(LipoError, match="verl ended, with step 3 of 6"):
        run.train(config)
    assert not (tmp_path / "model").exists()


def test_verl_gets_an_epoch_to_spare_and_ends_at_the_planned_step(config, monkeypatch):
    given = []

    def finishes(config, directory, *_):
        given.append(config.trainer)
        (directory / "latest_checkpointed_iteration.txt").write_text("6")

    monkeypatch.setattr(run, "_run_verl", finishes)
    monkeypatch.setattr(run, "export_model", lambda source, *_: source)
    assert run.train(config).parts[-2:] == ("global_step_6", "huggingface")
    assert (given[0].total_training_steps, given[0].total_epochs) == (6, 4)
    assert config.trainer.total_epochs == 3


def test_what_other_settings_have_made_is_not_taken_for_the_result(config, tmp_path, monkeypatch):
    def finishes(roomy, directory, *_):
        OmegaConf.save(roomy, directory / "config.yaml")
        (directory / "latest_checkpointed_iteration.txt").write_text("6")

    def export(source, recipe, place):
        place.mkdir()
        (place / "training_config.yaml").write_text(recipe.read_text())
        return place

    monkeypatch.setattr(run, "_run_verl", finishes)
    monkeypatch.setattr(run, "export_model", export)
    assert run.train(config) == run.train(config) == tmp_path / "model"
    config.trainer.seed = 2
    with pytest.raises(LipoError, match=r"model was made with other settings \(trainer\.seed\)"):
        run.train(config)
    config.lipo.export = str(tmp_path / "second")
    with pytest.raises(LipoError, match=r"run was made with other settings \(trainer\.seed\)"):
        run.train(config)
