"""How the pool hands out work and survives faults, on a real Ray.

vLLM cannot be made to fail at will, so these replicas answer at once and die on cue; ``test_run.py`` has the real ones.
"""

import os
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import ray

from eval import EngineConfig, SamplingConfig
from eval import engine as engine_module
from eval._keys import Sample
from eval._ray import count_replicas, ray_session
from eval._replica import Replica, VideoSize
from eval.engine import ReplicaPool
from eval.sources import Item
from eval.store import Answer
from lipo.common import LipoError

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ENGINE = EngineConfig(replicas=2, max_num_seqs=8)
MODEL = Path("model")


class FaultyReplica(Replica):
    """Answers with its process id; ``die`` ends the process, ``die once`` only the first time, ``fail`` raises."""

    def load(self, options):
        if "unloadable" in options.model:
            raise ValueError("no such architecture")
        self._loaded = options.model

    def advance(self, requests, more_waiting):
        answers = []
        for request in requests:
            ((_, text),) = request.messages
            first = text.startswith("die once ") and not Path(text[9:]).exists()
            if first:
                Path(text[9:]).touch()
            if first or text == "die":
                os._exit(1)
            if text == "fail":
                raise RuntimeError("engine core died")
            time.sleep(0.01)
            answers.append(Answer(request.key, request.item, request.sample, str(os.getpid()), 1, 0, 1, "stop"))
        return answers


@pytest.fixture(scope="module", autouse=True)
def session():
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    with ray_session(None, ENGINE):
        yield


@pytest.fixture
def generate(monkeypatch):
    monkeypatch.setattr(engine_module, "Replica", FaultyReplica)

    def generate(texts, model=MODEL):
        samples = [Sample(f"k{i}", Item(i, (("user", t),), (), "1"), 0, None) for i, t in enumerate(texts)]
        delivered = []
        with ReplicaPool(SamplingConfig(), ENGINE, local=True, images_per_prompt=0) as pool:
            pool.generate(model, samples, delivered.extend)
        assert sorted(a.key for a in delivered) == sorted(s.key for s in samples), "each exactly once"
        return {a.item: a for a in delivered}

    return generate


def test_all_replicas_share_the_work(generate):
    answers = generate(["hello"] * 200)
    shares = Counter(answer.response for answer in answers.values())
    assert len(shares) == 2 and min(shares.values()) >= 50


def test_a_replica_that_dies_once_costs_nothing(generate, tmp_path):
    answers = generate(["hello"] * 30 + [f"die once {tmp_path / 'mark'}"] + ["hello"] * 30)
    assert all(answer.error is None for answer in answers.values())


@pytest.mark.parametrize("text", ["die", "fail"])
def test_a_question_that_kills_replicas_is_found_and_gets_an_error(generate, text):
    answers = generate(["hello"] * 20 + [text] + ["hello"] * 20)
    assert [i for i, answer in answers.items() if answer.error] == [20]
    assert "replicas died on this question" in answers[20].error


def test_an_engine_that_always_dies_ends_the_run(generate):
    with pytest.raises(LipoError, match=r"vLLM cannot run model: .*engine core died"):
        generate(["fail"] * 100)


def test_a_model_that_cannot_be_loaded_ends_the_run_at_once(generate):
    begun = time.monotonic()
    with pytest.raises(LipoError, match=r"vLLM cannot load unloadable: .*no such architecture"):
        generate(["hello"] * 10, Path("unloadable"))
    assert time.monotonic() - begun < 30


def test_large_videos_do_not_pile_up():
    def window(video):
        with ReplicaPool(SamplingConfig(), EngineConfig(replicas=1), True, 0, video) as pool:
            return pool.window

    assert window(None) == 256 == window(VideoSize(8, 112, 56))
    # 768 frames of 588 x 336 are 2.3 GB once prepared.
    assert window(VideoSize(16, 588, 336)) == 90 and window(VideoSize(768, 588, 336)) == 2


def test_replicas_that_no_node_could_hold_are_refused_at_once():
    with pytest.raises(LipoError, match="a replica needs 500 CPUs on one node"):
        ReplicaPool(SamplingConfig(), EngineConfig(replicas=1, threads=500), local=True, images_per_prompt=0)


def test_the_number_of_replicas_follows_the_machine():
    assert count_replicas(EngineConfig(replicas=5), gpus=2, cpus=8, local=True) == 5
    assert count_replicas(EngineConfig(tensor_parallel_size=2), gpus=8, cpus=8, local=True) == 4
    assert 1 <= count_replicas(EngineConfig(), gpus=0, cpus=64, local=True) <= 8
    assert count_replicas(EngineConfig(threads=4), gpus=0, cpus=16, local=False) == 4
