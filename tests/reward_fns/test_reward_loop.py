"""verl's own reward loop worker, in a Ray actor, with hostile answers among good ones."""

import importlib
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from recipes.tiny.tokenizer import build_tokenizer

HOSTILE = [
    "\\sum_{k=1}^{10000000}\\sin(k)",
    "\\binom{1000000000}{500000000}",
    "9^{9^{9}}",
    "\\prod_{k=1}^{100}\\sum_{j=1}^{100} j^{k}",
    "__import__('os').system('touch hacked')",
    "{" * 300,
    "\\sqrt{" * 60,
    "1 or 2 or 3",
    "\\int_0^{1}\\frac{\\ln(1+x)}{1+x^{2}}\\arctan(x)\\sqrt{x}dx",
    "(99!)!",
]


@pytest.fixture
def worker(tmp_path):
    ray = pytest.importorskip("ray")
    hydra = importlib.import_module("hydra")
    reward_loop = importlib.import_module("verl.experimental.reward_loop.reward_loop")
    config_directory = Path(importlib.import_module("verl").__file__).parent / "trainer" / "config"
    build_tokenizer().save_pretrained(tmp_path / "model")
    with hydra.initialize_config_dir(str(config_directory), version_base=None):
        config = hydra.compose(
            "ppo_trainer",
            [
                f"actor_rollout_ref.model.path={tmp_path / 'model'}",
                "reward.custom_reward_function.path=pkg://reward_fns.math",
                "reward.custom_reward_function.name=compute_score",
            ],
        )
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        yield ray.remote(reward_loop.RewardLoopWorker).options(num_cpus=1).remote(config)
    finally:
        ray.shutdown()


def batch_of(rows):
    torch = importlib.import_module("torch")
    tensordict = importlib.import_module("tensordict")
    tokenizer = build_tokenizer()
    responses = [tokenizer(response)["input_ids"] for _, response in rows]
    width = max(map(len, responses))
    ids = torch.full((len(rows), width), tokenizer.pad_token_id)
    mask = torch.zeros(len(rows), width + 1, dtype=torch.long)
    mask[:, 0] = 1
    for i, response in enumerate(responses):
        ids[i, : len(response)] = torch.tensor(response)
        mask[i, 1 : len(response) + 1] = 1
    golds = np.empty(len(rows), dtype=object)
    golds[:] = [{"style": "rule", "ground_truth": gold} for gold, _ in rows]
    extra = np.empty(len(rows), dtype=object)
    extra[:] = [{"index": i} for i in range(len(rows))]
    return importlib.import_module("verl").DataProto(
        batch=tensordict.TensorDict(
            {"prompts": ids[:, :1], "responses": ids, "attention_mask": mask}, batch_size=len(rows)
        ),
        non_tensor_batch={
            "data_source": np.array(["tiny/math"] * len(rows), dtype=object),
            "reward_model": golds,
            "extra_info": extra,
        },
    )


def symbolic_processes():
    """Supervisors and workers below this process, those of its Ray actors included."""
    return {p for p in psutil.Process().children(recursive=True) if "_supervisor" in " ".join(p.cmdline())}


@pytest.mark.slow
def test_hostile_answers_cost_neither_time_nor_the_others_their_scores(worker, tmp_path):
    ray = importlib.import_module("ray")
    earlier = symbolic_processes()
    rows, right = [], []
    for i in range(100):
        kinds = [(str(i), str(i)), (f"\\frac{{{i}}}{{7}}", f"{i}/7"), (f"x^2+{i}", f"{i}+x^2")]
        kinds.append((f"\\frac{{n(n+1)}}{{2}}+{i}", f"\\sum_{{k=1}}^{{n}} k+{i}"))
        gold, answer = kinds[i % 4]
        correct = i % 5 != 0
        rows.append((gold, f"<think>so</think>\\boxed{{{answer if correct else '-1'}}}"))
        right.append(1.0 if correct else 0.1)
        if i % 10 == 0:
            rows.append(("\\sqrt{2}", f"<think>so</think>\\boxed{{{HOSTILE[i // 10]}}}"))
            right.append(None)
    ray.get(worker.compute_score_batch.remote(batch_of(rows[:1])), timeout=300)
    start = time.monotonic()
    results = ray.get(worker.compute_score_batch.remote(batch_of(rows)), timeout=300)
    spent = time.monotonic() - start
    scores = [result["reward_score"] for result in results]
    assert [score for score, expected in zip(scores, right, strict=True) if expected is not None] == pytest.approx(
        [expected for expected in right if expected is not None]
    )
    assert all(score <= 0.1 for score, expected in zip(scores, right, strict=True) if expected is None)
    statuses = {result["reward_extra_info"]["status"] for result in results}
    assert "timeout" in statuses and "equal" in statuses
    # Five endless comparisons of two seconds on two workers and a few dozen quick ones; ample room for a busy machine.
    assert spent < 240
    processes = symbolic_processes() - earlier
    assert processes
    ray.kill(worker)
    _, alive = psutil.wait_procs(processes, timeout=30)
    assert not alive
