"""Which deaths of replicas end an evaluation, and which do not; ``test_engine.py`` has a real Ray."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import ray

from eval import EngineConfig
from eval._keys import Sample
from eval.engine import ReplicaPool, _Seat
from eval.sources import Item
from eval.store import Answer
from lipo.common import LipoError


class _Pool(ReplicaPool):
    """Replicas that answer at once; they die of a question ``die``, and the first ``lost`` times of any."""

    def __init__(self, replicas: int, lost: int = 0) -> None:
        self._engine, self._video = EngineConfig(), None
        advance = SimpleNamespace(remote=lambda requests, more: lambda: self._answer(requests))
        self._seats = [_Seat(SimpleNamespace(advance=advance)) for _ in range(replicas)]
        self.lost, self.deaths = lost, 0

    def load(self, seat, model):
        seat.model = model
        return lambda: None  # The reference to a call is the call itself.

    def replace(self, seat):
        seat.model = None
        seat.held.clear()

    def _answer(self, requests):
        if self.deaths < self.lost or any(text == "die" for r in requests for _, text in r.messages):
            self.deaths += 1
            raise ray.exceptions.RayActorError
        return [Answer(r.key, r.item, r.sample, "", 1, 0, 1, "stop") for r in requests]


@pytest.fixture(autouse=True)
def _no_cluster(monkeypatch):
    monkeypatch.setattr(ray, "wait", lambda calls, num_returns: (calls[:1], calls[1:]))
    monkeypatch.setattr(ray, "get", lambda call: call())


def _ask(pool, texts, deliver):
    samples = [Sample(f"k{i}", Item(i, (("user", t),), (), "1"), 0, None) for i, t in enumerate(texts)]
    pool.generate(Path("model"), samples, deliver)


def _blamed(pool, texts):
    """Numbers of the questions that got an error for an answer."""
    delivered = []
    _ask(pool, texts, delivered.extend)
    assert sorted(a.item for a in delivered) == list(range(len(texts))), "each exactly once"
    return sorted(a.item for a in delivered if a.error)


@pytest.mark.parametrize("replicas", [1, 8, 32])
def test_a_lost_node_with_every_replica_ends_nothing(replicas):
    assert _blamed(_Pool(replicas, lost=replicas), ["hello"] * 500) == []


@pytest.mark.parametrize("replicas", [1, 2, 8])
@pytest.mark.parametrize("killers", [1, 2, 3])
def test_killers_at_the_head_of_the_queue_are_found(replicas, killers):
    assert _blamed(_Pool(replicas), ["die"] * killers + ["hello"] * 300) == list(range(killers))


def test_killers_are_found_where_no_other_question_is_left():
    assert _blamed(_Pool(1), ["die"] * 2) == [0, 1]


@pytest.mark.parametrize("replicas", [1, 2, 8])
def test_an_engine_that_always_dies_ends_the_run_soon_and_blames_no_question(replicas):
    pool, delivered = _Pool(replicas, lost=10**9), []
    with pytest.raises(LipoError, match="vLLM cannot run model"):
        _ask(pool, ["hello"] * 100, delivered.extend)
    assert pool.deaths <= 20 and delivered == []
