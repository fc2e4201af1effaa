import json

from lipo.training import read_history
from lipo.training.metrics import next_attempt


def write(path, steps, score=0.5):
    lines = [
        json.dumps({"step": s, "data": {"critic/score/mean": score, "response_length/mean": 100.0 - s, "note": "x"}})
        for s in steps
    ]
    path.write_text("\n".join(lines) + "\n")


def test_no_run_has_no_history(tmp_path):
    assert read_history(tmp_path / "metrics") == []


def test_later_attempt_replaces_what_it_repeats(tmp_path):
    write(tmp_path / "attempt-0001.jsonl", range(1, 8), score=0.1)
    write(tmp_path / "attempt-0002.jsonl", range(6, 9), score=0.9)
    history = read_history(tmp_path)
    assert [e.step for e in history] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [e.score for e in history] == [0.1] * 5 + [0.9] * 3
    assert history[0].response_length == 99.0
    assert "note" not in history[0].values


def test_shorter_later_attempt_drops_the_lost_steps(tmp_path):
    write(tmp_path / "attempt-0001.jsonl", range(1, 8))
    write(tmp_path / "attempt-0002.jsonl", [4])
    assert [e.step for e in read_history(tmp_path)] == [1, 2, 3, 4]


def test_cut_line_and_validation_only_records_are_left_out(tmp_path):
    file = tmp_path / "attempt-0001.jsonl"
    write(file, [1, 2])
    with file.open("a") as stream:
        stream.write(json.dumps({"step": 0, "data": {"val-core/acc": 0.5}}) + "\n")
        stream.write('{"step": 3, "data": {"critic/sco')
    assert [e.step for e in read_history(tmp_path)] == [1, 2]


def test_a_new_attempt_never_takes_the_file_of_an_old_one(tmp_path):
    assert next_attempt(tmp_path / "metrics").name == "attempt-0001.jsonl"
    # The first is gone.
    for number in (2, 3):
        write(tmp_path / f"attempt-000{number}.jsonl", [number])
    assert next_attempt(tmp_path).name == "attempt-0004.jsonl"
