"""Measures the evaluation: speed against plain vLLM, overhead, start-up, and a restart with nothing left to do.

    python benchmarks/eval.py                     # everything, about 5 minutes on two cores
    python benchmarks/eval.py restart             # one part: speed, start or restart

Rounds of the competitors alternate within one run, each with an engine of its own that stays loaded; the figures are
medians. Plain vLLM gets its prompts rendered and its pictures decoded before the clock starts; ours does both, the
transport through Ray and the writing of answers while it runs.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from eval import BenchmarkConfig, EngineConfig, EvalConfig, SamplingConfig  # noqa: E402
from eval._keys import fingerprint_model, plan_samples, vllm_version  # noqa: E402
from eval._ray import actor_options, ray_session  # noqa: E402
from eval._record import RECORD, Provenance, write_record  # noqa: E402
from eval._replica import LoadOptions, Replica, Request, decode_image  # noqa: E402
from eval.engine import ReplicaPool  # noqa: E402
from eval.scoring import score_answers, write_scores  # noqa: E402
from eval.sources import read_items  # noqa: E402
from eval.store import Answer, RowStore  # noqa: E402
from recipes.tiny.make_data import make_frame  # noqa: E402

MODEL = ROOT / "recipes/tiny/base"
SAMPLING = SamplingConfig(temperature=0.0, max_tokens=96)
ENGINE = EngineConfig(replicas=1, dtype="float32", max_model_len=384, max_num_seqs=64, kv_cache_gb=0.25)


def make_samples(folder: Path, count: int) -> tuple[BenchmarkConfig, list]:
    """Questions of the tiny math task, and what is to be asked."""
    make_frame("math", "test", count).to_parquet(folder / "math.parquet")
    benchmark = BenchmarkConfig(folder / "math.parquet", "math")
    return benchmark, plan_samples(read_items("math", benchmark), "model", SAMPLING, ENGINE, vllm_version())


class Plain:
    """Plain vLLM in a process of its own; answers commands on its standard input with times and token counts."""

    def __init__(self, count: int, multiprocessing: bool) -> None:
        environment = actor_options(ENGINE, on_cpu=True, local=True)["runtime_env"]["env_vars"]
        environment["VLLM_ENABLE_V1_MULTIPROCESSING"] = str(int(multiprocessing))
        self.begun = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, __file__, "plain", "--items", str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **environment},
            text=True,
        )

    def ask(self, batch: int, items: int) -> dict:
        """Generate answers to the first ``items`` questions in calls of ``batch``."""
        self._process.stdin.write(f"{batch} {items}\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise RuntimeError("plain vLLM ended")

    def close(self) -> None:
        """End the process."""
        self._process.stdin.close()
        self._process.wait()


def serve_plain(count: int) -> None:
    """Body of :class:`Plain`'s process."""
    from vllm import LLM, SamplingParams

    from eval._replica import _engine_arguments

    arguments = _engine_arguments(LoadOptions(str(MODEL), SAMPLING, ENGINE, True, 1))
    llm = LLM(**arguments)
    renderer = Replica()
    from transformers import AutoProcessor

    renderer._processor = AutoProcessor.from_pretrained(MODEL)
    with tempfile.TemporaryDirectory() as folder:
        _, samples = make_samples(Path(folder), count)
    prompts = []
    for sample in samples:
        request = Request(sample.key, 0, 0, sample.item.messages, sample.item.images, None)
        image = {"image": [decode_image(image) for image in request.images]}
        prompts.append({"prompt": renderer._render(request), "multi_modal_data": image})
    params = SamplingParams(temperature=SAMPLING.temperature, max_tokens=SAMPLING.max_tokens)
    for line in sys.stdin:
        batch, items = map(int, line.split())
        begun, tokens = time.perf_counter(), 0
        for start in range(0, items, batch):
            outputs = llm.generate(prompts[start : min(items, start + batch)], params, use_tqdm=False)
            tokens += sum(len(output.outputs[0].token_ids) for output in outputs)
        print(json.dumps({"seconds": time.perf_counter() - begun, "tokens": tokens}), flush=True)


def measure_speed(count: int, rounds: int) -> None:
    """Tokens per second of ours against plain vLLM; share of scoring and writing."""
    plain = {
        "its default (engine in a second process)": Plain(count, True),
        "engine in one process": Plain(count, False),
    }
    for server in plain.values():
        server.ask(count, count)
    rates: dict[str, list[float]] = {"ours": [], **{name: [] for name in plain}}
    shares, tokens = [], {}
    with tempfile.TemporaryDirectory() as name, ray_session(None, ENGINE):
        folder = Path(name)
        benchmark, samples = make_samples(folder, count)
        with ReplicaPool(SAMPLING, ENGINE, local=True, images_per_prompt=1) as pool:
            pool.generate(MODEL, samples, lambda _: None)
            for number in range(rounds):
                answers: dict[str, Answer] = {}
                writing = 0.0
                begun = time.perf_counter()
                with RowStore(folder / f"{number}.jsonl", Answer).writing() as append:

                    def deliver(news: list[Answer], append=append, answers=answers) -> None:
                        nonlocal writing
                        start = time.perf_counter()
                        append(news)
                        answers.update((answer.key, answer) for answer in news)
                        writing += time.perf_counter() - start

                    pool.generate(MODEL, samples, deliver)
                seconds = time.perf_counter() - begun
                write_scores(folder / "scores.jsonl", score_answers(samples, answers, benchmark))
                scoring = time.perf_counter() - begun - seconds
                tokens["ours"] = sum(answer.tokens for answer in answers.values())
                rates["ours"].append(tokens["ours"] / seconds)
                shares.append((writing + scoring) / (seconds + scoring))
                for label, server in plain.items():
                    reply = server.ask(count, count)
                    tokens[label] = reply["tokens"]
                    rates[label].append(reply["tokens"] / reply["seconds"])
        fixed = {
            f"batches of {batch}": plain["engine in one process"].ask(batch, items)
            for batch, items in ((16, count), (1, max(8, count // 8)))
        }
    for server in plain.values():
        server.close()
    middle = {label: statistics.median(values) for label, values in rates.items()}
    for label, rate in middle.items():
        spread = f"{min(rates[label]):.0f} to {max(rates[label]):.0f}"
        print(f"{label}: {rate:.0f} tokens/s ({spread}), {tokens[label]} tokens; ours is {middle['ours'] / rate:.2f} x")
    for label, reply in fixed.items():
        rate = reply["tokens"] / reply["seconds"]
        print(f"plain, {label}: {rate:.0f} tokens/s; ours is {middle['ours'] / rate:.1f} x")
    print(f"scoring and writing: {100 * statistics.median(shares):.2f} % of the time")


def measure_start(rounds: int) -> None:
    """Seconds from the start of a process to its first answer."""
    times: dict[str, list[float]] = {"ours": [], "plain": []}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            benchmark, _ = make_samples(folder, 1)
            config = EvalConfig({"base": MODEL}, "base", {"math": benchmark}, folder / "out", SAMPLING, ENGINE)
            write_record(config, Provenance({}, {}))
            rows = folder / "out/answers/base/math.jsonl"
            command = [sys.executable, "-c", "from lipo.cli import main; main()", "eval", str(folder / "out" / RECORD)]
            begun = time.monotonic()
            with subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(ROOT)}):
                while not rows.exists() or not rows.stat().st_size:
                    time.sleep(0.02)
                times["ours"].append(time.monotonic() - begun)
        server = Plain(1, True)
        server.ask(1, 1)
        times["plain"].append(time.monotonic() - server.begun)
        server.close()
        print(
            f"first answer after {times['ours'][-1]:.1f} s (lipo eval), {times['plain'][-1]:.1f} s (plain vLLM)",
            flush=True,
        )
    middle = {label: statistics.median(values) for label, values in times.items()}
    print(f"medians: first answer after {middle['ours']:.1f} s (lipo eval), {middle['plain']:.1f} s (plain vLLM)")


def measure_restart(benchmarks: int, items: int) -> None:
    """Seconds of ``lipo eval`` with every answer stored already, and of its parts."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = EvalConfig(
            models=dict.fromkeys(("base", "expert", "merged"), MODEL), baseline="base", benchmarks={},
            out=folder / "out", sampling=SAMPLING, engine=ENGINE,
        )  # fmt: skip
        fingerprint = fingerprint_model(MODEL, folder / "fingerprint.json")
        for number in range(benchmarks):
            task = ("math", "structured", "ocr")[number % 3]
            label, path = f"b{number}", folder / f"b{number}.parquet"
            make_frame(task, "test", items).to_parquet(path)
            config = replace(config, benchmarks={**config.benchmarks, label: BenchmarkConfig(path, task)})
            questions = read_items(label, config.benchmarks[label])
            for model in config.models:
                with RowStore(folder / "out/answers" / model / f"{label}.jsonl", Answer).writing() as append:
                    for sample in plan_samples(questions, fingerprint, SAMPLING, ENGINE, vllm_version()):
                        right = (hash((model, sample.key)) % 10) < 6
                        text = (
                            f"<think>{'let me see ' * 30}</think>\\boxed{{{sample.item.ground_truth if right else 7}}}"
                        )
                        append([Answer(sample.key, sample.item.index, 0, text, 99, 90, 40, "stop")])
        write_record(config, Provenance({}, {}))
        command = [sys.executable, "-c", "from lipo.cli import main; main()", "eval", str(folder / "out" / RECORD)]
        for attempt in ("first", "second"):
            begun = time.monotonic()
            before = os.times()
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            subprocess.run(command, stdout=subprocess.DEVNULL, env=environment, check=True)
            after = os.times()
            seconds = after.children_user + after.children_system - before.children_user - before.children_system
            print(
                f"{benchmarks} benchmarks x 3 models, {3 * benchmarks * items} stored answers, {attempt} restart: "
                f"{time.monotonic() - begun:.1f} s, {seconds:.1f} s of one core"
            )


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=("all", "speed", "start", "restart", "plain"), default="all")
    parser.add_argument("--items", type=int, default=128, help="questions of the speed part")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.part == "plain":
        serve_plain(options.items)
    if options.part in ("all", "speed"):
        measure_speed(options.items, options.rounds)
    if options.part in ("all", "start"):
        measure_start(options.rounds)
    if options.part in ("all", "restart"):
        measure_restart(10, 1000)


if __name__ == "__main__":
    main()
