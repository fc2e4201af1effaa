import json
import os
import signal
import socket
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
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


class _Endpoint(BaseHTTPRequestHandler):
    """Answers prompts by ``server.reply``, which gives status, type and body."""

    def do_GET(self):
        self._send(*self.server.reply(""))

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._send(*self.server.reply(request["messages"][0]["content"]))

    def _send(self, status, kind, body):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def endpoint():
    with ThreadingHTTPServer(("127.0.0.1", 0), _Endpoint) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def _judge(endpoint, tmp_path):
    address = f"http://127.0.0.1:{endpoint.server_port}/v1"
    return Judge(JudgeConfig(address, "m", retries=0), tmp_path / "replies.jsonl")


ITEM = Item(0, (("user", "2+2?"),), (), "4")
RIGHT = (200, "application/json", '{"choices": [{"message": {"content": "right"}}]}')
REFUSED = (400, "application/json", '{"error": {"message": "use max_completion_tokens"}}')


def test_a_request_that_the_endpoint_refuses_ends_the_grading_and_is_asked_again(tmp_path, endpoint):
    judge, rows = _judge(endpoint, tmp_path), [_row("4"), _row("5")]
    endpoint.reply = lambda prompt: REFUSED
    with pytest.raises(LipoError, match=r"refuses every prompt, the first with: .*use max_completion_tokens"):
        judge.grade(rows, [ITEM], lambda _: None)
    endpoint.reply = lambda prompt: RIGHT
    assert [row.judge for row in judge.grade(rows, [ITEM], lambda _: None)] == ["right", "right"]
    endpoint.reply = lambda prompt: REFUSED
    assert [row.judge for row in judge.grade(rows, [ITEM], lambda _: None)] == ["right", "right"], "from the file"


def test_a_prompt_that_the_endpoint_refuses_concerns_its_row_only_and_is_asked_again(tmp_path, endpoint):
    judge, rows = _judge(endpoint, tmp_path), [_row("4"), _row("much too long")]
    endpoint.reply = lambda prompt: REFUSED if "much too long" in prompt else RIGHT
    for _ in range(2):
        assert [row.judge for row in judge.grade(rows, [ITEM], lambda _: None)] == ["right", "unclear"]
    endpoint.reply = lambda prompt: RIGHT
    assert [row.judge for row in judge.grade(rows, [ITEM], lambda _: None)] == ["right", "right"]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/html", "<html>Sign in</html>"),
        ("application/json", "<html>"),
        ("application/json", "null"),
        ("application/json", '{"error": "no such route"}'),
        ("application/json", '{"choices": "none"}'),
        ("application/json", '{"choices": [{"message": null}]}'),
        ("application/json", '{"choices": [{"message": {"content": [1]}}]}'),
    ],
)
def test_what_is_no_completion_ends_the_grading_and_is_not_stored(tmp_path, endpoint, kind, body):
    judge = _judge(endpoint, tmp_path)
    endpoint.reply = lambda prompt: (200, kind, body)
    with pytest.raises(LipoError, match="answers with no chat completion"):
        judge.grade([_row("4")], [ITEM], lambda _: None)
    assert (tmp_path / "replies.jsonl").read_text() == ""


def test_a_page_is_no_endpoint(tmp_path, endpoint):
    endpoint.reply = lambda prompt: (200, "text/html", "<html>Sign in</html>")
    with pytest.raises(LipoError, match="answers with no chat completion"):
        _judge(endpoint, tmp_path).require_endpoint()


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

    # Without the choice the tiny model says anything but a verdict.
    free = evaluation.score(out, judge)
    assert free.cells["base"]["math"].judge_unclear > 0
    with pytest.raises(LipoError, match="refuses every prompt"):
        evaluation.score(out, [*judge, "judge.request={max_tokens: 4000}"])

    monkeypatch.setenv("LIPO_TEST_JUDGE_KEY", KEY + "x")
    with pytest.raises(LipoError, match="AuthenticationError") as error:
        evaluation.score(out, [*judge, "judge.request={max_tokens: 3}"])
    written = "".join(p.read_text(errors="replace") for p in out.rglob("*") if p.is_file())
    assert KEY not in written + str(error.value) + caplog.text
