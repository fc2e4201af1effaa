"""The whole pipeline of the Qwen2.5-VL recipes as a job of a real cluster, on the tiny model, from data to report."""

import json

import pytest
import torch

from lipo.training import read_history

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2000)]

RECIPE = "recipes/qwen2_5_vl_3b/pipeline.yaml"
OUT = "runs/qwen2_5_vl_3b_cpu"
TASKS = ("math", "structured", "ocr")
STAGES = ("data", *(f"training {task} (lipo)" for task in TASKS), "merge (amm)", "evaluation", "report")
SMALL = (
    "profile=cpu",
    'data_options=["--train=16","--validation=4","--test=4"]',
    'training_overrides=["trainer.total_training_steps=1","data.train_batch_size=4","actor_rollout_ref.rollout.n=4",'
    '"actor_rollout_ref.actor.ppo_mini_batch_size=4","actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=16",'
    '"actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=16","actor_rollout_ref.actor.optim.lr=1e-3"]',
    'merge_overrides=["options.steps=20","workers=2"]',
    'eval_overrides=["sampling.max_tokens=32","engine.replicas=1"]',
)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory, started_head):
    """A head that declares a CPU in disguise as a GPU, as the tiny recipes do: one training at a time."""
    # Ray's monitor counts shared pages several times.
    variables = {"RAY_memory_monitor_refresh_ms": "0"}
    with started_head(tmp_path_factory, cpus=16, gpus=1, memory=400_000_000, **variables) as started:
        yield started


def test_from_data_to_report_and_then_nothing_is_left_to_do(cluster, submit, tmp_path):
    from safetensors.torch import load_file

    from recipes.tiny.train_base import BASE

    # The recipes are the installed package's: nothing is in the working directory.
    work, root = tmp_path / "work", tmp_path / "shared"
    work.mkdir()
    arguments = (RECIPE, *SMALL, "--root", str(root))
    done = submit(work, cluster, *arguments, timeout=1700)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    for stage in STAGES:
        assert f"{stage} finished in" in done.stdout, stage
    out = root / OUT

    base = load_file(BASE / "model.safetensors")
    for task in TASKS:
        (entry,) = read_history(out / f"lipo/training/{task}/metrics")
        # Rollout and actor agree on probabilities, and the estimator is ours, in workers that Ray has started.
        assert entry.values["training/rollout_actor_probs_pearson_corr"] > 0.98
        assert "lipo/truncation" in entry.values and entry.values["critic/advantages/max"] > 0.1
        expert = load_file(out / f"lipo/experts/{task}/model.safetensors")
        assert expert.keys() == base.keys() and {tensor.dtype for tensor in expert.values()} == {torch.float32}
        assert any(not torch.equal(expert[name], base[name]) for name in base)
        assert json.loads((out / f"lipo/experts/{task}/config.json").read_text())["dtype"] == "float32"
    assert json.loads((out / "lipo/merged/manifest.json").read_text())["config"]["method"] == "amm"
    results = json.loads((out / "lipo/eval/results.json").read_text())
    assert set(results["cells"]) == {"base", *TASKS, "merged"}
    assert all(set(cells) >= set(TASKS) for cells in results["cells"].values())
    assert "merged" in (out / "lipo/eval/report.md").read_text()
    assert list(work.iterdir()) == []

    made = {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}
    again = submit(work, cluster, *arguments)
    assert again.returncode == 0, again.stdout[-3000:]
    for stage in STAGES:
        assert f"{stage} unchanged, skipped" in again.stdout, stage
    assert made == {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}
