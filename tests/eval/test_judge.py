import json
import os
import signal
import socket
import sys
import time
import urllib.request
from pathlib import Path

import pytest

import eval as evaluation
from eval import JudgeConfig
from eval.judge import Judge, Reply, read_verdict
from eval.scoring import ScoredAnswer
from eval.sources import Item
from eval.store import RowStore
from lipo.common import LipoError
from lipo.common.processes import supervised

ROOT = Path(__file__).parents[2]
NOWHERE = JudgeConfig("http://127.0.0.1:9/v1", "m", retries=0, timeout=2.0)
KEY = "sk-planted-3f9a1c"


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ("right", "right"),
        ("They agree.\n\n**Right.**", "right"),
        ("Verdict: wrong", "wrong"),
        ("> `WRONG`\n", "wrong"),
        ("right or wrong, who knows", "unclear"),
        ("It is not right", "unclear"),
        ("right\nBut on second thought I cannot say.", "unclear"),
        ("rightly", "unclear"),
        ("", "unclear"),
    ],
)
def test_only_a_plain_verdict_is_one(reply, verdict):
    assert read_verdict(reply) == verdict


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"base_url": "127.0.0.1:8000"}, "judge.base_url is '127.0.0.1:8000'"),
        ({"base_url": "http://me:secret@host/v1"}, "contains credentials"),
        ({"base_url": "http://host/v1?key=secret"}, "contains credentials or a query"),
        ({"prompt": "{question} {response}"}, "lacks {truth}"),
        ({"api_key_env": "LIPO_TEST_NO_SUCH_KEY"}, "LIPO_TEST_NO_SUCH_KEY is not set"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_sent(tmp_path, changes, message):
    options = {"base_url": "http://127.0.0.1:9/v1", "model": "m", **changes}
    with pytest.raises(LipoError, match=message) as error:
        Judge(JudgeConfig(**options), tmp_path / "replies.jsonl")
    assert "secret" not in str(error.value)


def _row(response, error=None):
    return ScoredAnswer("k", 0, 0, 1.0, "equal", True, False, 9, 3, response, "4", error)


def _prompt(response, prompt=None):
    judge = Judge(JudgeConfig("http://127.0.0.1:9/v1", "m", prompt=prompt), Path("unused"))
    return judge._prompt(_row(response), Item(0, (("user", "<image>2+2?"),), (), "4"))


def test_the_judge_sees_texts_after_the_reasoning_and_fills_placeholders_once():
    text = _prompt("<think>It is {truth}.</think> {question} is 4")
    assert (
        "{question} is 4" in text and "It is {truth}" not in text and "Question: 2+2?" in text and "<image>" not in text
    )
    assert _prompt("5", "{question}|{truth}|{response}") == "2+2?|4|5"
    assert _prompt("<think>never closed", "{question}{truth}{response}").endswith("<think>never closed")


def test_stored_replies_need_no_endpoint(tmp_path):
    cache, item = tmp_path / "replies.jsonl", Item(0, (("user", "2+2?"),), (), "4")
    judge, rows = Judge(NOWHERE, cache), [_row("4"), _row("", error="bad image")]
    with pytest.raises(LipoError, match=r"the judge at http://127.0.0.1:9/v1 fails: APIConnectionError"):
        judge.grade(rows, [item], lambda _: None)
    with pytest.raises(LipoError, match="APIConnectionError"):
        judge.require_endpoint()
    with RowStore(cache, Reply).writing() as append:
        append([Reply(judge._name(judge._prompt(rows[0], item)), "Right", None)])
    assert [row.judge for row in judge.grade(rows, [item], lambda _: None)] == ["right", None]


def test_ctrl_c_does_not_wait_for_an_endpoint_that_is_silent(tmp_path):
    def interrupt(*_):
        raise KeyboardInterrupt

    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        judge = Judge(JudgeConfig(address, "m", timeout=60.0), tmp_path / "replies.jsonl")
        before = signal.signal(signal.SIGALRM, interrupt)
        signal.setitimer(signal.ITIMER_REAL, 1.0)
        begun = time.monotonic()
        try:
            with pytest.raises(KeyboardInterrupt):
                judge.grade([_row("4")], [Item(0, (("user", "2+2?"),), (), "4")], lambda _: None)
        finally:
            signal.signal(signal.SIGALRM, before)
        assert time.monotonic() - begun < 20


@pytest.fixture
def server(tmp_path):
    """A real ``vllm serve`` of the tiny model that asks for a key."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # The module behind 'vllm serve'; that script itself asks for a distribution called 'vllm', which the CPU's is not.
    serve = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", "recipes/tiny/base"]
    options = "--dtype float32 --max-model-len 1024 --max-num-seqs 8 --enforce-eager --served-model-name judge"
    command = [*serve, "--host", "127.0.0.1", "--port", str(port), *options.split()]
    cpu = {"VLLM_CPU_KVCACHE_SPACE": "1", "TORCHDYNAMO_DISABLE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    quiet = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "OMP_NUM_THREADS": "1", "VLLM_API_KEY": KEY}
    log = tmp_path / "vllm.log"
    with supervised(command, log, {**os.environ, **cpu, **quiet}, ROOT) as process:
        until = time.monotonic() + 240
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2):
                    break
            except OSError:
                assert process.poll() is None and time.monotonic() < until, log.read_text()[-3000:]
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_real_endpoint_grades_once_and_its_key_is_nowhere(server, stored, monkeypatch, caplog):
    monkeypatch.setenv("LIPO_TEST_JUDGE_KEY", KEY)
    out = stored(12)
    choice = '{temperature: 0, max_tokens: 16, structured_outputs: {choice: ["right", "wrong"]}}'
    judge = [f"judge.base_url={server}", "judge.model=judge", "judge.api_key_env=LIPO_TEST_JUDGE_KEY"]
    seen = []
    results = evaluation.score(out, [*judge, f"judge.request={choice}"], seen.append)
    verdicts = [row.judge for row in results.scores["base"]["math"]]
    assert set(verdicts) <= {"right", "wrong"} and len(verdicts) == 12
    cell = results.cells["base"]["math"]
    assert cell.judge.value == verdicts.count("right") / 12 and cell.judge_unclear == 0
    assert cell.accuracy.value == 0.5, "the judge changes no other figure"
    replies = (out / "judge/replies.jsonl").read_text().splitlines()
    assert len({json.loads(reply)["key"] for reply in replies}) == len(replies)
    assert [p.done for p in seen if p.judging and p.model == "base"][-1] == 12

    # The same answers of another model are not asked again; torn and lost replies are.
    assert len(replies) == 12
    (out / "judge/replies.jsonl").write_text("\n".join(replies[:-2]) + "\n" + replies[-1][:20])
    again = evaluation.score(out, [*judge, f"judge.request={choice}"])
    assert [row.judge for row in again.scores["base"]["math"]] == verdicts
    assert len((out / "judge/replies.jsonl").read_text().splitlines()) == len(replies)

    # Without the choice the tiny model says anything but a verdict; a prompt too long concerns its row only.
    free = evaluation.score(out, judge)
    assert free.cells["base"]["math"].judge_unclear > 0
    long = evaluation.score(out, [*judge, "judge.request={max_tokens: 4000}"])
    assert long.cells["base"]["math"].judge_unclear == 12

    monkeypatch.setenv("LIPO_TEST_JUDGE_KEY", KEY + "x")
    with pytest.raises(LipoError, match="AuthenticationError") as error:
        evaluation.score(out, [*judge, "judge.request={max_tokens: 3}"])
    written = "".join(p.read_text(errors="replace") for p in out.rglob("*") if p.is_file())
    assert KEY not in written + str(error.value) + caplog.text
