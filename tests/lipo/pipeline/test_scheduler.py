import threading
import time

import pytest

from lipo.common import LipoError
from lipo.pipeline import HashCache, Stage, State, examine, run
from lipo.pipeline.scheduler import arrange


class Line:
    """A pipeline in a folder: ``a`` and ``b`` from files of the user, ``c`` from both."""

    def __init__(self, folder):
        self.folder = folder
        self.ran, self.news = [], []
        self.work = {}
        for name in "ab":
            (folder / f"{name}.in").write_text(name)

    def state(self):
        return State(self.folder / "pipeline.json", HashCache(self.folder / "hashes.json"))

    def stages(self):
        hashes = HashCache(self.folder / "hashes.json")
        return [self._stage(hashes, n) for n in "ab"] + [self._stage(hashes, "c", ("a", "b"))]

    def _stage(self, hashes, name, needs=()):
        sources = [self.folder / f"{n}.out" for n in needs] or [self.folder / f"{name}.in"]
        out = self.folder / f"{name}.out"

        def work(cancelled):
            self.ran.append(name)
            self.work.get(name, lambda _: None)(cancelled)
            out.write_text("+".join(s.read_text() for s in sources))

        def inputs():
            return {s.name: hashes.content(s) for s in sources}

        return Stage(name, inputs, (out,), work, needs, (out, self.folder / f"{name}.work"))

    def run(self, slots=1):
        self.ran.clear()
        self.news.clear()
        run(self.stages(), self.state(), self.news.append, slots)
        return self.ran

    def words(self):
        return {name: found.word for name, found in examine(self.stages(), self.state()).items()}


@pytest.fixture
def line(tmp_path):
    return Line(tmp_path)


@pytest.mark.parametrize("slots", [1, 3])
def test_everything_once_and_then_nothing(line, slots):
    assert line.words() == {"a": "to do", "b": "to do", "c": "waits"}
    assert sorted(line.run(slots)) == ["a", "b", "c"]
    assert line.ran[-1] == "c"
    assert (line.folder / "c.out").read_text() == "a+b"
    assert line.run(slots) == []
    assert {event.what for event in line.news} == {"skipped"}
    assert set(line.words().values()) == {"done"}


def test_a_changed_input_runs_what_follows_from_it_and_keeps_the_old(line):
    line.run()
    (line.folder / "a.work").mkdir()
    (line.folder / "a.in").write_text("A")
    found = examine(line.stages(), line.state())
    assert (found["a"].word, found["a"].reason) == ("changed", "other a.in")
    assert found["c"].word == "waits"
    assert line.run() == ["a", "c"]
    assert (line.folder / "c.out").read_text() == "A+b"
    assert (line.folder / "c.out.replaced-1").read_text() == "a+b"
    assert (line.folder / "a.work.replaced-1").is_dir()
    (line.folder / "a.in").write_text("again")
    line.run()
    assert (line.folder / "a.out.replaced-2").read_text() == "A"


def test_a_stage_that_makes_the_same_again_stops_the_wave(line):
    line.run()
    (line.folder / "a.out").unlink()
    assert line.run() == ["a"]


def test_touching_a_file_changes_nothing(line):
    line.run()
    (line.folder / "a.in").touch()
    assert line.run() == []


def test_an_output_that_was_tampered_with_is_made_again(line):
    line.run()
    (line.folder / "b.work").mkdir()
    (line.folder / "b.out").write_text("forged")
    assert line.words()["b"] == "damaged"
    assert line.run() == ["b"]
    assert (line.folder / "b.out").read_text() == "b"
    assert (line.folder / "b.out.replaced-1").read_text() == "forged"
    assert (line.folder / "b.work").is_dir(), "checkpoints are as good as before"


def test_an_interrupted_stage_goes_on_unless_its_inputs_changed(line):
    def stop(_):
        (line.folder / "b.work").mkdir(exist_ok=True)
        raise KeyboardInterrupt

    line.work["b"] = stop
    with pytest.raises(KeyboardInterrupt):
        line.run()
    assert line.words() == {"a": "done", "b": "unfinished", "c": "waits"}
    line.work.clear()
    assert line.run() == ["b", "c"]
    assert (line.folder / "b.work").is_dir(), "it continues there"

    (line.folder / "b.in").write_text("B")
    line.work["b"] = stop
    with pytest.raises(KeyboardInterrupt):
        line.run()
    (line.folder / "b.in").write_text("third")
    line.work.clear()
    line.run()
    assert (line.folder / "b.work.replaced-2").is_dir(), "half-made from 'B', so not continued with 'third'"


def test_results_made_by_hand_are_taken_over_only_where_they_belong(line):
    (line.folder / "a.out").write_text("by hand")
    stage = line.stages()[0]
    run([stage], line.state(), line.news.append)
    assert not (line.folder / "a.out.replaced-1").exists()
    (line.folder / "pipeline.json").unlink()
    foreign = Stage(stage.name, stage.inputs, stage.outputs, stage.run, owns=stage.owns, belongs=lambda: False)
    assert examine([foreign], line.state())["a"].word == "changed"
    run([foreign], line.state(), line.news.append)
    assert (line.folder / "a.out.replaced-1").exists()


def test_independent_stages_run_beside_each_other(line):
    both = threading.Barrier(2, timeout=10)
    line.work = {"a": lambda _: both.wait(), "b": lambda _: both.wait()}
    assert sorted(line.run(slots=2)) == ["a", "b", "c"]


@pytest.mark.parametrize("slots", [1, 2])
def test_never_more_at_once_than_slots(line, slots):
    busy, most, full = [], [], threading.Event()

    def work(_):
        busy.append(1)
        most.append(len(busy))
        if len(busy) == slots:
            full.set()
        full.wait(10)
        # Time for one too many.
        time.sleep(0.05)
        busy.pop()

    run([Stage(name, dict, (), work) for name in "abc"], line.state(), slots=slots)
    assert len(most) == 3 and max(most) == slots


def test_a_failure_lets_the_others_end_and_stops_what_follows(line):
    failed = threading.Event()

    def fail(_):
        failed.set()
        raise LipoError("no", "yes")

    line.work = {"a": fail, "b": lambda _: failed.wait(10) and time.sleep(0.2)}
    with pytest.raises(LipoError, match="no; yes"):
        line.run(slots=2)
    assert line.words() == {"a": "unfinished", "b": "done", "c": "waits"}
    assert ("a", "failed") in [(event.stage, event.what) for event in line.news]


def test_an_interruption_reaches_the_threads(line, monkeypatch):
    seen = []

    def work(cancelled):
        seen.append(cancelled.wait(10))
        raise KeyboardInterrupt

    line.work = dict.fromkeys("ab", work)
    calls = []

    def interrupted(*args, **kwargs):
        if len(calls) < 3:
            calls.append(1)
            time.sleep(0.05)
            return set(), set()
        raise KeyboardInterrupt

    monkeypatch.setattr("lipo.pipeline.scheduler.wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        line.run(slots=2)
    assert seen == [True, True]


def _stage(name, *needs):
    return Stage(name, dict, (), lambda _: None, needs)


def test_order_follows_needs_and_otherwise_the_list():
    stages = [_stage("report", "merge"), _stage("b"), _stage("merge", "a", "b"), _stage("a")]
    assert [s.name for s in arrange(stages)] == ["b", "a", "merge", "report"]


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([_stage("a", "b")], "needs 'b', which does not exist"),
        ([_stage("a", "b"), _stage("b", "a"), _stage("c")], "the stages a, b need each other in a circle"),
        ([_stage("a"), _stage("a")], "two stages are called 'a'"),
    ],
)
def test_impossible_graphs(stages, message):
    with pytest.raises(LipoError, match=message):
        arrange(stages)
