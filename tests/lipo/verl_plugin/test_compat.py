import json
import types

import numpy as np
import pytest
import torch
import verl.utils.tensordict_utils as tensordict_utils
import verl.utils.tracking as tracking
from tensordict import TensorDict

from lipo.verl_plugin import adapter, compat
from lipo.verl_plugin.adapter import as_verl_estimator
from lipo.verl_plugin.reward_metrics import reward_metrics


def nested_position_ids(lengths):
    """(batch, 4, L) M-RoPE ids as TransferQueue hands them over."""
    rows = [torch.arange(4 * n).view(4, n) for n in lengths]
    return rows, torch.nested.as_nested_tensor(rows, layout=torch.jagged)


@pytest.mark.parametrize("lengths", [[5, 5, 5], [5], [4, 4, 4, 4]])
def test_equal_lengths_unbind_to_their_rows(lengths):
    rows, ids = nested_position_ids(lengths)
    data = TensorDict({"position_ids": ids}, batch_size=[len(lengths)])
    tensordict_utils.maybe_fix_3d_position_ids(data)
    for row, back in zip(rows, data["position_ids"].unbind(), strict=True):
        assert torch.equal(row, back)


def test_batch_without_position_ids_is_left_alone():
    data = TensorDict({"x": torch.zeros(2)}, batch_size=[2])
    tensordict_utils.maybe_fix_3d_position_ids(data)
    assert set(data.keys()) == {"x"}


def test_statistics_reach_verls_logger_once(tmp_path, monkeypatch):
    monkeypatch.setenv("VERL_FILE_LOGGER_PATH", str(tmp_path / "metrics.jsonl"))
    logger = tracking.Tracking("project", "experiment", ["file"])
    adapter.drain()
    as_verl_estimator("lipo")(torch.eye(2), torch.ones(2, 2), np.array(["a", "a"], dtype=object), None)
    logger.log(data={"loss": 1.0}, step=1)
    logger.log({"loss": 0.5}, 2)
    logger.logger["file"].finish()
    first, second = (json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines())
    assert first["step"] == 1
    assert {"loss", "lipo/optimal_length", "lipo/correct_length"} <= first["data"].keys()
    assert second == {"step": 2, "data": {"loss": 0.5}}


def test_another_logger_is_left_alone():
    class Tracking:
        def log(self, record):
            return record

    module = types.SimpleNamespace(Tracking=Tracking)
    with pytest.warns(UserWarning, match="metrics under lipo/ are lost"):
        compat._log_statistics(module)
    assert Tracking().log(3) == 3


class FakeQueue:
    """What TransferQueue answers: the fields of the keys asked for."""

    def __init__(self, fields):
        self.fields = fields

    def kv_batch_get(self, keys, partition_id, select_fields):
        assert (partition_id, select_fields) == ("train", ["extra_fields"])
        return {"extra_fields": np.array([self.fields[key] for key in keys], dtype=object)}


def test_rewards_beside_the_score_are_logged_at_every_step():
    class PPOTrainer:
        def _compute_metrics(self, batch, metrics, timing_raw, global_steps, epoch):
            metrics["step"] = global_steps

    first = {"reward_extra_info": {"score": 1.0, "acc": 1.0, "reflections": 2.0, "pred": "B"}}
    second = {"reward_extra_info": {"score": 0.0, "acc": 0.0, "reflections": 1.0, "pred": ""}}
    padding = {"reward_extra_info": {"acc": 9.0}}
    queue = FakeQueue({"a": first, "b": second, "c": padding})
    compat._log_rewards(types.SimpleNamespace(PPOTrainer=PPOTrainer, tq=queue))
    tags = [{}, {"is_padding": False}, {"is_padding": True}]
    batch = types.SimpleNamespace(keys=["a", "b", "c"], tags=tags, partition_id="train")
    metrics = {}
    PPOTrainer()._compute_metrics(batch, metrics, {}, global_steps=3, epoch=0)
    assert metrics == {"step": 3, "reward/acc": 0.5, "reward/reflections": 1.5}


def test_another_trainer_is_left_alone():
    class PPOTrainer:
        def _compute_metrics(self, everything):
            return everything

    with pytest.warns(UserWarning, match="metrics under reward/ are lost"):
        compat._log_rewards(types.SimpleNamespace(PPOTrainer=PPOTrainer))
    assert PPOTrainer()._compute_metrics(3) == 3


def test_a_queue_that_is_named_otherwise_is_left_alone(monkeypatch):
    interface = types.SimpleNamespace(ray=object(), TransferQueueController=object())
    before = dict(vars(interface))
    monkeypatch.setattr(compat.inspect, "getsource", lambda _: 'ray.get_actor("C", namespace="queues")')
    with pytest.warns(UserWarning, match="may take each other's rollouts"):
        compat._keep_queues_apart(interface)
    assert vars(interface) == before


def test_responses_without_further_rewards_are_left_out():
    assert reward_metrics([]) == {}
    assert reward_metrics([None, {}, {"reward_extra_info": {"acc": True}}]) == {"reward/acc": 1.0}


def test_the_replay_buffer_is_polled_often():
    class ReplayBuffer:
        def __init__(self, poll_interval=2.0):
            self.poll_interval = poll_interval

    compat._poll_often(types.SimpleNamespace(ReplayBuffer=ReplayBuffer))
    assert (ReplayBuffer().poll_interval, ReplayBuffer(poll_interval=0.01).poll_interval) == (0.1, 0.01)
