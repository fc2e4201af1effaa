"""Measure the answer checks: speed against math-verify, and errors on the labelled pairs against other rules.

    python benchmarks/rewards.py speed
    python benchmarks/rewards.py accuracy

``accuracy`` also judges with whatever of these packages is installed (``pip install --no-deps`` is enough)::

    math-verify  mathruler pylatexenc  lm-eval  ms-vlmeval timeout-decorator

Both print Markdown tables.
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import contextlib
import importlib
import importlib.util
import io
import random
import statistics
import sys
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from reward_fns import StructuredOptions, counting_yes_no, math, multiple_choice, ocr, structured
from reward_fns import math as math_reward
from reward_fns._pool import SymbolicPool, stop_pools

PAIRS = Path(__file__).parents[1] / "tests" / "reward_fns" / "data" / "pairs.tsv"
OPTION_TEXTS = ["9 cm", "12 cm", "15 cm", "18 cm"]
Judge = Callable[[str, str], bool]


# --- speed ----------------------------------------------------------------------------------------------------------


def _math_item(rng: random.Random) -> tuple[str, str]:
    """One ground truth and a right answer in another writing, as mixed as answers to textbook problems are."""
    a, b = rng.randint(2, 60), rng.randint(2, 60)
    kinds: list[tuple[int, tuple[str, str]]] = [
        (50, (str(a * b), str(a * b))),
        (10, (f"{a * b / 8:g}", f"{a * b / 8:.3f}")),
        (12, (f"\\frac{{{a}}}{{{b}}}", f"\\dfrac{{{2 * a}}}{{{2 * b}}}")),
        (6, (f"{a}\\sqrt{{{b}}}", f"\\sqrt{{{b}}}\\cdot {a}")),
        (4, (f"{a} \\text{{ cm}}", f"{a}\\,\\mathrm{{cm}}")),
        (4, (f"({a}, {b}]", f"\\left({a},{b}\\right]")),
        (4, (f"{a}^\\circ", f"{a}")),
        (4, (f"x = {a}", str(a))),
        (4, (f"x^2+{a + b}x+{a * b}", f"(x+{a})(x+{b})")),
        (2, (f"\\frac{{n(n+1)}}{{2}}+{a}", f"\\sum_{{k=1}}^{{n}} k+{a}")),
    ]
    (item,) = rng.choices([item for _, item in kinds], [weight for weight, _ in kinds])
    return item


def _structured_item(rng: random.Random) -> tuple[str, str]:
    number = rng.randint(1, 10**6)
    day, month = rng.randint(1, 28), rng.choice(("January", "May", "October"))
    return rng.choice(
        [
            (str(number), f"{number:,}"),
            (str(number), str(number)),
            (f"{number / 10**4:.1f}%", f"{number / 10**4:.1f}"),
            (f"{month} {day}, 2021", f"{day} {month} 2021"),
            ("United States", "united states"),
            ("apple, banana", "banana and apple"),
        ]
    )


def _ocr_item(rng: random.Random) -> tuple[str, str]:
    text = "".join(rng.choices("ABCDEFGHKLMNPRTUXY2345789 ", k=rng.randint(4, 40))).strip() or "A"
    return text, text.lower()


def _responses(task: str, count: int) -> list[tuple[str, str]]:
    """Groups of 8 responses to one question, of some 400 characters each; one answer in four is wrong."""
    make = {"math": _math_item, "structured": _structured_item, "ocr": _ocr_item}[task]
    rng = random.Random(f"{task}/0")  # noqa: S311 - reproducible data, no secret
    rows = []
    for i in range(count):
        if i % 8 == 0:
            gold, right = make(rng)
        answer = make(rng)[1] if rng.random() < 0.25 else right
        thought = " ".join(f"step {k}: {rng.randint(1, 99)} and {rng.randint(1, 99)}," for k in range(18))
        rows.append((gold, f"<think>item {i}: {thought}</think>The answer is \\boxed{{{answer}}}."))
    return rows


def _worker_seconds() -> float:
    """Processor time of all symbolic workers that are alive, and their supervisor."""
    family = psutil.Process().children(recursive=True)
    return sum(sum(process.cpu_times()[:2]) for process in family)


def _report(name: str, call: Callable[[str, str], Any], rows: list[tuple[str, str]]) -> None:
    """Print one line; processor time, so that other programs on the machine matter little."""
    times, before = [], _worker_seconds()
    for gold, response in rows:
        start = time.thread_time_ns()
        call(gold, response)
        times.append((time.thread_time_ns() - start) / 1000)
    seconds = sum(times) / 1e6 + _worker_seconds() - before
    median, tail = statistics.median(times), statistics.quantiles(times, n=100)[98]
    print(f"| {name} | {median:.0f} | {tail:.0f} | {len(times) / seconds:.0f} |", flush=True)


def _run_and_wait_seconds() -> tuple[float, float]:
    """Seconds that workers and supervisors ran, and seconds that they were ready to run but had no core."""
    run = wait = 0.0
    for process in psutil.Process().children(recursive=True):
        nanoseconds = Path(f"/proc/{process.pid}/schedstat").read_text().split()
        run, wait = run + int(nanoseconds[0]) / 1e9, wait + int(nanoseconds[1]) / 1e9
    return run, wait


def _report_scaling(workers: int, count: int) -> None:
    """Print one line on comparisons that all reach the workers, asked for by four threads."""
    pool = SymbolicPool(workers, 1024)
    with concurrent.futures.ThreadPoolExecutor(4) as executor:
        # All workers must have been forked before their clocks are read.
        list(executor.map(lambda i: pool.compare("\\sum_{k=1}^{n}k", f"n+{i}", 60.0), range(8 * workers)))
        before, start = _run_and_wait_seconds(), time.perf_counter()
        list(
            executor.map(
                lambda i: pool.compare(f"\\frac{{n(n+1)}}{{2}}+{i}", f"\\sum_{{k=1}}^{{n}} k+{i}", 60.0), range(count)
            )
        )
        wall, after = time.perf_counter() - start, _run_and_wait_seconds()
    pool.stop()
    run, wait = after[0] - before[0], after[1] - before[1]
    print(
        f"| {workers} | {count / wall:.0f} | {count / run:.0f} | {run / wall:.2f} | {wait / wall:.2f} "
        f"| {100 * (run + wait) / wall / workers:.0f} % |",
        flush=True,
    )


def _math_verify_directly() -> Callable[[str, str], bool]:
    package = importlib.import_module("math_verify")

    def judge(gold: str, response: str) -> bool:
        return bool(package.verify(package.parse(f"${gold}$"), package.parse(response)))

    return judge


def _symbolic_share(rows: list[tuple[str, str]]) -> float:
    """Share of the answers that reach the worker processes."""
    asked = 0
    original = math_reward._compare_symbolically

    def counting(*arguments: Any) -> Any:
        nonlocal asked
        asked += 1
        return original(*arguments)

    math_reward._compare_symbolically = counting  # type: ignore[assignment]
    try:
        for gold, response in rows:
            math.compute_score("math", response, gold)
    finally:
        math_reward._compare_symbolically = original
    return asked / len(rows)


def measure_speed(count: int, verify_count: int) -> None:
    """Print the speed tables."""
    print("| check | median µs | 99 % µs | answers per processor second, workers included |\n|---|---|---|---|")
    for task, module in (("structured", structured), ("ocr", ocr)):
        _report(f"`{task}`", lambda g, r, m=module: m.compute_score("b", r, g), _responses(task, count))  # type: ignore[misc]
    rows = _responses("math", count)
    math.check("\\sum_{k=1}^{3}k", "n")
    _report("`math`", lambda g, r: math.compute_score("b", r, g), rows)
    with contextlib.redirect_stderr(io.StringIO()):
        judge = _math_verify_directly()
        judge("1", "\\boxed{1}")
        _report("math-verify with its own timeouts", judge, rows[:verify_count])
    print(f"\n{100 * _symbolic_share(rows):.1f} % of the math answers reach the symbolic workers.\n")
    stop_pools()
    print(
        "| workers | comparisons/s | per core-second | cores obtained | cores waited for | busy or waiting for a core |"
    )
    print("|---|---|---|---|---|---|")
    for workers in (1, 2, 1, 2):
        _report_scaling(workers, 300)
    math.check("\\sum_{k=1}^{3}k", "n")
    start = time.perf_counter()
    math.check("\\sum_{k=1}^{100000000}\\sin(k)", "\\sqrt{2}", math.MathOptions(symbolic_seconds=1.0))
    between = time.perf_counter()
    math.check("\\sum_{k=1}^{5}k", "\\sqrt{3}")
    print(
        f"\nAn endless comparison limited to 1 s is over after {between - start:.2f} s; "
        f"the next one takes {1000 * (time.perf_counter() - between):.0f} ms, a new worker included."
    )
    stop_pools()


# --- accuracy -------------------------------------------------------------------------------------------------------


class _Fake(types.ModuleType):
    """Stands for a module that a file imports but the rule in it does not use."""

    __path__: list[str] = []  # noqa: RUF012 - what makes a module a package

    def __getattr__(self, name: str) -> Any:
        """Give anything any attribute."""
        return lambda *args, **kwargs: None


def _load_file(package: str, path: str, stubs: tuple[str, ...]) -> types.ModuleType:
    """Load one file of an installed package without importing all of it."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f"{package} is not installed")
    file = Path(spec.submodule_search_locations[0]) / path
    loaded = importlib.util.spec_from_file_location(f"peer_{file.stem}", file)
    if loaded is None or loaded.loader is None:
        raise ImportError(f"{package} has no {path}")
    module = importlib.util.module_from_spec(loaded)
    fakes = {name: _Fake(name) for name in stubs if name not in sys.modules}
    sys.modules.update(fakes)
    try:
        loaded.loader.exec_module(module)
    finally:
        for name in fakes:
            del sys.modules[name]
    return module


def _judge_math_verify() -> Judge:
    package = importlib.import_module("math_verify")

    def judge(gold: str, answer: str) -> bool:
        return bool(package.verify(package.parse(f"${gold}$"), package.parse(f"\\boxed{{{answer}}}")))

    return judge


def _judge_mathruler() -> Judge:
    grade = importlib.import_module("mathruler.grader").grade_answer
    return lambda gold, answer: bool(grade(answer, gold))


def _judge_lm_eval() -> Judge:
    same = _load_file("lm_eval", "tasks/hendrycks_math/utils.py", ("datasets",)).is_equiv
    return lambda gold, answer: bool(same(answer, gold))


_VLMEVAL = ("vlmeval", "vlmeval.smp", "vlmeval.utils")


def _judge_vlmeval() -> Judge:
    # The rule itself, without its time limit, which starts a process per call.
    same = _load_file("vlmeval", "dataset/utils/mathv.py", _VLMEVAL).is_equal
    same = getattr(same, "__wrapped__", same)
    return lambda gold, answer: bool(same(answer, gold))


def _judge_vlmeval_relaxed() -> Judge:
    same = _load_file("vlmeval", "dataset/utils/vqa_eval.py", _VLMEVAL).relaxed_correctness
    return lambda gold, answer: bool(same(gold, answer))


def _peers(family: str) -> Iterator[tuple[str, Judge]]:
    makers: dict[str, Callable[[], Judge]] = {}
    if family == "math":
        makers = {
            "math-verify": _judge_math_verify,
            "mathruler": _judge_mathruler,
            "lm-eval (Hendrycks)": _judge_lm_eval,
            "VLMEvalKit (MathVision)": _judge_vlmeval,
        }
    elif family.startswith("structured"):
        makers = {"math-verify": _judge_math_verify, "VLMEvalKit (ChartQA, 5 %)": _judge_vlmeval_relaxed}
    for name, make in makers.items():
        try:
            yield name, make()
        except ImportError as error:
            print(f"{name}: {error}", file=sys.stderr)


def _own(family: str) -> Judge:
    modules = {"structured_relaxed": structured, "structured": structured, "math": math, "ocr": ocr}
    modules |= {"multiple_choice": multiple_choice, "counting_yes_no": counting_yes_no}  # type: ignore[dict-item]
    options = StructuredOptions(tolerance=0.05) if family == "structured_relaxed" else None
    extra = {"options": OPTION_TEXTS} if family == "multiple_choice" else None
    check: Any = modules[family].check
    return lambda gold, answer: bool(check(answer, gold, options, extra).correct)


def measure_accuracy(pairs: Path) -> None:
    """Print false accepts and false rejects per class and rule."""
    lines = pairs.read_text(encoding="utf-8").splitlines()[1:]
    table = [line.replace("␤", "\n").split("\t") for line in lines]
    families = list(dict.fromkeys(row[0] for row in table))
    for family in families:
        judges = [("reward_fns", _own(family)), *_peers(family)]
        rows = [row for row in table if row[0] == family]
        counts: dict[tuple[str, str], list[int]] = collections.defaultdict(lambda: [0, 0])
        for name, judge in judges:
            for _, kind, gold, answer, verdict in rows:
                with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
                    try:
                        accepted = judge(gold, answer)
                    except Exception:
                        accepted = False
                if accepted != (verdict == "equal"):
                    for group in (kind, "all"):
                        counts[name, group][0 if accepted else 1] += 1
        print(f"\n### {family}: false accepts / false rejects\n")
        print("| class | pairs | " + " | ".join(name for name, _ in judges) + " |")
        print("|---|---|" + "---|" * len(judges))
        for kind in [*dict.fromkeys(row[1] for row in rows), "all"]:
            size = sum(kind in (row[1], "all") for row in rows)
            cells = " | ".join("{} / {}".format(*counts[name, kind]) for name, _ in judges)
            print(f"| {kind} | {size} | {cells} |", flush=True)
    stop_pools()


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("speed", "accuracy"))
    parser.add_argument("--count", type=int, default=10_000, help="answers per task")
    parser.add_argument("--verify-count", type=int, default=2_000, help="answers for math-verify, which is slow")
    parser.add_argument("--pairs", type=Path, default=PAIRS, help="labelled pairs")
    options = parser.parse_args()
    if options.what == "speed":
        measure_speed(options.count, options.verify_count)
    else:
        measure_accuracy(options.pairs)


if __name__ == "__main__":
    main()
