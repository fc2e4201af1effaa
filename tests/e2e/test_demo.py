"""The whole pipeline in small, killed in every stage and continued by the same command."""

import json
import signal

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]

TASKS = ("math", "structured", "ocr")
QUICK = (
    'data_options=["--train=64","--validation=8","--test=24"]',
    'training_overrides=["trainer.total_training_steps=2","trainer.save_freq=1","data.train_batch_size=4",'
    '"actor_rollout_ref.actor.ppo_mini_batch_size=4","actor_rollout_ref.rollout.n=4",'
    '"actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=16",'
    '"actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=16"]',
)


def test_demo_continues_after_being_killed_in_each_stage(command):
    runs = command.directory / "runs/demo"
    answers = runs / "eval/answers"

    def start():
        return command.start("demo", "recipes/tiny/demo.yaml", *QUICK)

    def stop(process, number):
        process.send_signal(number)
        command.finish(process, 30)
        command.assert_nothing_left()

    def says(text):
        count = command.output().count(text)
        return lambda: command.output().count(text) > count

    # Data.
    process = start()
    command.wait_for(process, (runs / "data/math_train.parquet").exists, 120)
    stop(process, signal.SIGKILL)

    # Training, after a checkpoint: kill -9.
    process = start()
    command.wait_for(process, (runs / "training/math/latest_checkpointed_iteration.txt").exists, 400)
    stop(process, signal.SIGKILL)
    assert not (runs / "experts/math").exists()

    # Training, while verl starts: Ctrl-C.
    process = start()
    command.wait_for(process, (runs / "training/structured/log.txt").exists, 400)
    assert json.loads((runs / "training/math/metrics/attempt-0002.jsonl").read_text().splitlines()[-1])["step"] == 2
    stop(process, signal.SIGINT)
    assert process.returncode == 130
    assert "the same command continues" in command.output()
    assert not (runs / "experts/structured").exists()

    # Merge: killed as soon as its work directory is there.
    process = start()
    command.wait_for(process, lambda: any(runs.glob(".merged*")), 600)
    stop(process, signal.SIGKILL)
    assert all((runs / "experts" / task / "config.json").is_file() for task in TASKS)
    assert not (runs / "merged").exists()

    # Evaluation: killed when some answers are stored, then interrupted.
    process = start()
    command.wait_for(process, lambda: any(f.stat().st_size for f in answers.rglob("*.jsonl")), 300)
    stop(process, signal.SIGKILL)
    kept = {f: f.read_text().splitlines()[0] for f in answers.rglob("*.jsonl") if "\n" in f.read_text()}
    assert kept
    assert (runs / "merged/manifest.json").is_file()
    process = start()
    command.wait_for(process, says("evaluation"), 60)
    stop(process, signal.SIGINT)
    assert process.returncode == 130
    assert not (runs / "eval/report.html").exists()

    # To the end.
    process = start()
    assert command.finish(process, 600) == 0, command.output()[-3000:]
    command.assert_nothing_left()
    for file, first_line in kept.items():
        assert file.read_text().splitlines()[0] == first_line
    assert (runs / "eval/report.html").is_file() and (runs / "eval/report.md").is_file()
    tail = command.output()[-6000:]
    assert all(label in tail for label in ("base", *TASKS, "merged", "report.html"))

    # Nothing is left to do: quick, and the same figures.
    results = json.loads((runs / "eval/results.json").read_text())
    process = start()
    assert command.finish(process, 60) == 0
    again = json.loads((runs / "eval/results.json").read_text())
    assert {k: v for k, v in again.items() if k in ("cells", "models")} == {
        k: v for k, v in results.items() if k in ("cells", "models")
    }
