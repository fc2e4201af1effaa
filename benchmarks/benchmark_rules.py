"""Compare the declared benchmarks' scores with VLMEvalKit's and lmms-eval's published rules, on the marked responses.

    pip install --no-deps ms-vlmeval==0.0.20 lmms-eval==0.7.3 timeout-decorator
    pip install --no-deps --target latex2sympy2 latex2sympy2==1.9.1 antlr4-python3-runtime==4.7.2
    python benchmarks/benchmark_rules.py --latex2sympy2 latex2sympy2

Prints two Markdown tables: counts, and every response on which a rule and the mark differ; and writes each rule's
verdicts where the tests read them. The rules are run from the packages as published. Where they expect a judge model's
extraction they get the response's final answer; the others read the response after its reasoning. Where all is left to
a judge model, the verdict is what its instruction says, applied by hand in answers.yaml.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import csv
import importlib.util
import io
import json
import os
import random
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from rewards import _load_file

# This script's folder would otherwise come before the packages, and its eval.py before theirs.
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != Path(__file__).resolve().parent]

from eval.benchmarks import find_declaration  # noqa: E402
from eval.benchmarks.scores import mme_scores, wemath_scores  # noqa: E402
from eval.scoring import find_scorer  # noqa: E402
from eval.sources import Item  # noqa: E402
from eval.sources._declared import DeclaredReader  # noqa: E402
from reward_fns import RewardOptions, extract_answer  # noqa: E402

ANSWERS = Path(__file__).parents[1] / "tests" / "eval" / "data" / "answers.yaml"
VERDICTS = ANSWERS.with_name("published_verdicts.tsv")
PEERS = ("VLMEvalKit", "lmms-eval")
_SMP = ("vlmeval", "vlmeval.smp", "vlmeval.smp.log", "vlmeval.smp.file", "vlmeval.utils")
_LMMS = (
    "lmms_eval",
    "lmms_eval.tasks",
    "lmms_eval.tasks._task_utils",
    "lmms_eval.tasks._task_utils.file_utils",
    "lmms_eval.tasks._task_utils.mmmu_mcq_utils",
    "lmms_eval.tasks._task_utils.vqa_eval_metric",
    "lmms_eval.verifiers",
    "lmms_eval.verifiers.extractors",
    "lmms_eval.verifiers.openai",
    "lmms_eval.llm_judge",
    "lmms_eval.api",
    "lmms_eval.api.registry",
    "loguru",
    "Levenshtein",
    "evaluate",
    "sacrebleu",
)
Row = dict[str, Any]
Rule = Callable[[Row, str, str], float]
"""Row, response after the reasoning, final answer → score."""


def _options(row: Row) -> dict[str, str]:
    if str(row.get("choices") or "").startswith("["):
        return {chr(65 + i): str(text) for i, text in enumerate(ast.literal_eval(row["choices"]))}
    # As pandas reads a TSV: a cell that says None or NA is missing.
    return {c: str(row[c]) for c in "ABCDEFGH" if row.get(c) not in (None, "", "None", "NA")}


def _vlmeval(benchmark: str) -> Rule | None:
    """Return VLMEvalKit's rule; None where it needs a judge model for everything."""
    path = "dataset/utils/"
    if benchmark in ("wemath", "mmstar", "mmmu", "mathvision", "mathvista", "ocr_reasoning"):
        infer = _load_file("vlmeval", "utils/matching_util.py", _SMP).can_infer
    if benchmark in ("mathvista", "ocr_reasoning"):
        module = _load_file("vlmeval", path + f"{benchmark}.py", _SMP)
        module.can_infer = infer  # type: ignore[attr-defined]
        return lambda row, response, answer: float(bool(module.post_check({**row, "res": answer}, prefetch=False)))
    if benchmark == "mathvision":
        same = _load_file("vlmeval", path + "mathv.py", _SMP).is_equal
        same = getattr(same, "__wrapped__", same)

        def mathvision(row: Row, response: str, answer: str) -> float:
            options = _options(row)
            return float(bool(same(infer(answer, options) if options else answer, row["answer"])))

        return mathvision
    if benchmark in ("wemath", "mmstar", "mmmu"):

        def choose(row: Row, response: str, answer: str) -> float:
            options = _options(row)
            if benchmark == "mmmu" and not options:
                # An open question: A stands for the right answer, B for any other.
                return float(infer(response, {"A": row["answer"], "B": "Other Answers"}) == "A")
            # Where its TSV would have columns for the options, this row has them in the question.
            return float(infer(response, options or dict.fromkeys("ABCD", "-")) == row["answer"])

        return choose
    if benchmark == "ocrbench":
        return _vlmeval_ocrbench()
    if benchmark == "mme":
        module = _load_file("vlmeval", path + "yorn.py", _SMP)
        module.process_punctuation = _punctuation()  # type: ignore[attr-defined]
        return lambda row, response, answer: float(module.YOrN_Extraction(response) == row["answer"])
    if benchmark in ("chartqa", "textvqa", "docvqa"):
        module = _load_file("vlmeval", path + "vqa_eval.py", _SMP)
        module.process_punctuation = _punctuation()  # type: ignore[attr-defined]
        module.listinstr = lambda names, text: any(name in text for name in names)  # type: ignore[attr-defined]
        module.istype = lambda text, kind: text.startswith("[")  # type: ignore[attr-defined]
        method = {"chartqa": "relaxed_accuracy", "textvqa": "vqa_score", "docvqa": "anls"}[benchmark]

        def vqa(row: Row, response: str, answer: str) -> float:
            result = module.process_line({"answer": row["answer"], "prediction": answer}, method=method)
            name = {"chartqa": "ChartQA", "textvqa": "TextVQA", "docvqa": "DocVQA"}[benchmark]
            return float(module.hit_calculate([result], name)[0])

        return vqa
    return None


def _functions(package: str, path: str, *names: str, **needed: Any) -> dict[str, Any]:
    """Take functions (``f``, or ``Class.f``) out of a file that cannot be imported alone, as they are there."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f"{package} is not installed")
    tree = ast.parse((Path(spec.submodule_search_locations[0]) / path).read_text("utf-8"))
    found: list[ast.stmt] = []
    for name in names:
        body: list[ast.stmt] = tree.body
        for part in name.split("."):
            node = next(node for node in body if getattr(node, "name", "") == part)
            body = getattr(node, "body", [])
        node.decorator_list = []  # type: ignore[attr-defined]
        found.append(node)
    scope = dict(needed)
    exec(compile(ast.Module(found, []), path, "exec"), scope)  # noqa: S102 - the peer's published code
    return scope


def _vlmeval_ocrbench() -> Rule:
    import pandas as pd

    rows: list[Row] = []
    scope = _functions(
        "vlmeval",
        "dataset/image_vqa.py",
        "OCRBench.evaluate",
        load=lambda _: pd.DataFrame(rows),
        tqdm=lambda steps: steps,
        dump=lambda *_: None,
        get_intermediate_file_path=lambda *_: "",
    )

    def ocrbench(row: Row, response: str, answer: str) -> float:
        rows[:] = [{**row, "prediction": response}]
        return float(scope["evaluate"](None, "")["Final Score"])

    return ocrbench


def _punctuation() -> Callable[[str], str]:
    stubs = (*_SMP, "sty", "huggingface_hub.utils._cache_manager")
    function: Callable[[str], str] = _load_file("vlmeval", "smp/misc.py", stubs).process_punctuation
    return function


def _lmms(benchmark: str) -> Rule | None:
    """Return lmms-eval's rule."""

    def load(path: str) -> types.ModuleType:
        return _load_file("lmms_eval", path, _LMMS)

    if benchmark == "mathvista":
        module = load("tasks/mathvista/mathvista_evals.py")
        module.distance = _edit_distance  # type: ignore[attr-defined]
        evaluator = module.MathVistaEvaluator.__new__(module.MathVistaEvaluator)

        def mathvista(row: Row, response: str, answer: str) -> float:
            choices, places = list(_options(row).values()), int(float(row.get("precision") or 0))
            found = evaluator.normalize_extracted_answer(
                answer, choices, row["question_type"], row["answer_type"], places
            )
            return float(evaluator.safe_equal(found, row["answer"]))

        return mathvista
    if benchmark == "chartqa":
        relaxed = load("tasks/chartqa/utils.py").relaxed_correctness
        return lambda row, response, answer: float(relaxed(answer, _one(row["answer"])))
    if benchmark == "mme":
        parse = load("tasks/mme/utils.py").parse_pred_ans
        return lambda row, response, answer: float(parse(answer) == row["answer"].lower())
    if benchmark in ("mmstar", "wemath"):
        extract = load("tasks/_task_utils/mcq_extract.py").extract_mcq_answer
        return lambda row, response, answer: float(extract(response, choices=list("ABCDE")) == row["answer"])
    if benchmark == "mmmu":
        parse = load("tasks/_task_utils/mmmu_mcq_utils.py").parse_mmmu_multi_choice_response
        open_ = load("tasks/mmmu/utils.py")

        def mmmu(row: Row, response: str, answer: str) -> float:
            options = _options(row)
            if not options:
                truths = ast.literal_eval(row["answer"])
                return float(open_.eval_open(truths, open_.parse_open_response(response)))
            random.seed(0)
            return float(parse(response, list(options), options) == row["answer"])

        return mmmu
    if benchmark == "ocrbench":
        process = load("tasks/ocrbench/utils.py").ocrbench_process_results

        def ocrbench(row: Row, response: str, answer: str) -> float:
            formula = row["category"].startswith("Handwritten Mathematical")
            document = {
                "answer": ast.literal_eval(row["answer"]),
                "dataset": "HME100k" if formula else "other",
                "question_type": row["category"],
            }
            return float(process(document, [response])["ocrbench_accuracy"]["score"])

        return ocrbench
    if benchmark == "textvqa":
        module = load("tasks/textvqa/utils.py")
        module.EvalAIAnswerProcessor = load("tasks/_task_utils/vqa_eval_metric.py").EvalAIAnswerProcessor  # type: ignore[attr-defined]

        def textvqa(row: Row, response: str, answer: str) -> float:
            document = {"answers": ast.literal_eval(row["answer"]), "question_id": 0}
            return float(module.textvqa_process_results(document, [answer])["exact_match"])

        return textvqa
    if benchmark == "docvqa":
        anls = _functions("lmms_eval", "api/metrics.py", "levenshtein_distance", "anls")["anls"]
        return lambda row, response, answer: float(anls(ast.literal_eval(row["answer"]), [answer])["anls"])
    return None


def _lmms_mathvision(latex2sympy2: Path) -> Rule:
    """Return lmms-eval's MATH-Vision, in a process of its own: it needs an antlr4 that our scorers cannot use."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(latex2sympy2), *filter(None, sys.path)])}
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", __file__, "--serve-mathvision"],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    asks, tells = process.stdin, process.stdout

    def mathvision(row: Row, response: str, answer: str) -> float:
        document = {"answer": row["answer"], "options": list(_options(row).values())}
        # Its prompt asks for the box.
        asks.write(json.dumps([document, f"\\boxed{{{answer}}}" if answer else response]) + "\n")
        asks.flush()
        return float(json.loads(tells.readline()))

    return mathvision


def _serve_mathvision() -> None:
    tools = _load_file("lmms_eval", "tasks/mathvision/eval_utils.py", _LMMS)
    module = _load_file("lmms_eval", "tasks/mathvision/utils.py", (*_LMMS, "lmms_eval.tasks.mathvision.eval_utils"))
    for name in ("find_math_answer", "is_equal", "is_number"):
        setattr(module, name, getattr(tools, name))
    for line in sys.stdin:
        document, response = json.loads(line)
        with contextlib.redirect_stdout(io.StringIO()):
            result = module.mathvision_process_results(document, [response])
        print(float(result["mathvision_standard_eval"]["scores"][0]), flush=True)


def _edit_distance(a: str, b: str) -> int:
    from rapidfuzz.distance import Levenshtein

    return int(Levenshtein.distance(a, b))


def _one(text: str) -> str:
    return str(ast.literal_eval(text)[0]) if text.startswith("['") else text


def _after_reasoning(response: str) -> str:
    """Drop the reasoning, and the box around the answer, which the rules' prompts do not ask for."""
    text = response.rpartition("</think>")[2]
    start, end = text.find("\\boxed{"), text.rfind("}")
    return text if start < 0 else text[:start] + text[start + len("\\boxed{") : end] + text[end + 1 :]


def _own(question: dict[str, Any], response: str) -> float:
    name = question["benchmark"]
    benchmark = find_declaration(name)
    row = {column: value if str(value).strip() else None for column, value in question["row"].items()}
    item = DeclaredReader(benchmark, name).read(row, 0, (b"image",), None)
    verdict = find_scorer(item.scorer)(name, response, item.ground_truth, item.extra_info, **item.scorer_options)
    return float(verdict[benchmark.measure])


def _compare_mme(seed: int) -> bool:
    """Whether our score and VLMEvalKit's are the same for random verdicts."""
    import pandas as pd

    module = _load_file("vlmeval", "dataset/utils/yorn.py", _SMP)
    kinds = find_declaration("mme").groups["kind"].names
    rng = random.Random(seed)  # noqa: S311 - reproducible data, no secret
    rows = [(c, f"{c}/{picture}", rng.random() < 0.7) for c in kinds for picture in range(10) for _ in range(2)]
    module.load = lambda _: pd.DataFrame(rows, columns=["category", "image_path", "score"])  # type: ignore[attr-defined]
    module.d2df = lambda scores: scores  # type: ignore[attr-defined]
    theirs = module.MME_rating("")
    items = [
        Item(i, (), (), "Yes", groups={"category": c, "kind": kinds[c]}, cluster=picture)
        for i, (c, picture, _) in enumerate(rows)
    ]
    ours = mme_scores(items, [float(right) for _, _, right in rows])
    pairs = [(ours["perception"], theirs["perception"]), (ours["cognition"], theirs["reasoning"])]
    return all(abs(a - b) < 1e-9 for a, b in [*pairs, *((ours[c], theirs[c]) for c in kinds)])


def _compare_wemath(seed: int) -> bool:
    """Whether our counts and scores and VLMEvalKit's are the same for random verdicts on 525 problems."""
    import pandas as pd

    module = _load_file("vlmeval", "dataset/utils/wemath.py", _SMP)
    rng = random.Random(seed)  # noqa: S311
    rows = [
        (1000 * steps + problem, f"{steps}steps_{part}", rng.random() < 0.6)
        for steps, problems in ((2, 300), (3, 225))
        for problem in range(problems)
        for part in [*range(1, steps + 1), "multi"]
    ]
    frame = pd.DataFrame(rows, columns=["ID", "key", "hit"])
    merged = [
        module.evaluate_process_steps_data(module_frame, steps) for steps, module_frame in _by_steps(module, frame)
    ]
    counts, _ = module.evaluate_compute_final_scores(module.evaluate_calculate_metrics(*merged), total_count=525)
    items = [Item(i, (), (), "A", extra_info={"ID": row[0], "key": row[1]}) for i, row in enumerate(rows)]
    ours = wemath_scores(items, [float(right) for *_, right in rows])
    names = {
        "IK": "InsufficientKnowledge",
        "IG": "InadequateGeneralization",
        "CM_strict": "CompleteMastery_strict",
        "CM_loose": "CompleteMastery_loose",
        "RM_strict": "RoteMemorization_strict",
        "RM_loose": "RoteMemorization_loose",
    }
    return all(ours[name] == counts[theirs] for name, theirs in names.items())


def _by_steps(module: types.ModuleType, frame: Any) -> list[tuple[int, Any]]:
    module.load = lambda _: frame  # type: ignore[attr-defined]
    data = module.load_and_process_data("")
    return [(steps, data[data["key"].str.startswith(f"{steps}steps")]) for steps in (2, 3)]


def _verdicts(question: dict[str, Any], response: str, by_hand: dict[str, float] | None, rules: Any) -> Row:
    """Return each peer's verdict: by its rule, else what its instruction to a judge model says; None: an exception."""
    name, row = question["benchmark"], question["row"]
    answer = extract_answer(response, RewardOptions(answer_style="plain")) or ""
    verdicts: Row = dict(by_hand or {})
    for peer in PEERS:
        rule = rules[peer, name]
        if rule is None:
            continue
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            try:
                verdicts[peer] = rule(row, _after_reasoning(response), answer)
            except Exception:
                verdicts[peer] = None
    return verdicts


def _by_hand(question: dict[str, Any], mark: float, said: dict[str, float]) -> dict[str, float]:
    return {peer: said.get(peer, mark) for peer in PEERS} if question.get("judged") else {}


def main() -> None:
    """Judge every marked response by every rule."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latex2sympy2", type=Path, help="folder with latex2sympy2 and the antlr4 that it needs")
    parser.add_argument("--serve-mathvision", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve_mathvision:
        _serve_mathvision()
        return
    if options.latex2sympy2 is None:
        parser.error("--latex2sympy2 is missing")
    questions = yaml.safe_load(ANSWERS.read_text("utf-8"))
    names = list(dict.fromkeys(question["benchmark"] for question in questions))
    rules = {(peer, name): make(name) for name in names for peer, make in zip(PEERS, (_vlmeval, _lmms), strict=True)}
    rules["lmms-eval", "mathvision"] = _lmms_mathvision(options.latex2sympy2)
    counts: dict[tuple[str, str], list[int]] = {}
    listed: list[str] = []
    stored: list[tuple[str, ...]] = []
    for question in questions:
        name, row = question["benchmark"], question["row"]
        for response, mark, *more in question["answers"]:
            reason, said = (*more, "", {})[0], (more[1] if len(more) > 1 else {})
            peers = _verdicts(question, response, _by_hand(question, mark, said), rules)
            stored += [
                (name, row["answer"], response, peer, "" if s is None else f"{s:.6g}") for peer, s in peers.items()
            ]
            for judge, score in ({"ours": _own(question, response)} | peers).items():
                wrong = (score or 0.0) - mark
                high, low, total = counts.setdefault((judge, name), [0, 0, 0])
                counts[judge, name] = [high + (wrong > 0.02), low + (wrong < -0.02), total + 1]
                if score is None or abs(wrong) > 0.02:
                    shown = "an exception" if score is None else f"{score:.3g}"
                    text = f"`{response}`".replace("|", "\\|")
                    listed.append(f"| {name} | {row['answer']} | {text} | {mark:g} | {judge}: {shown} | {reason} |")
    print("| benchmark | responses | ours | VLMEvalKit | lmms-eval |\n|---|---|---|---|---|")
    hands = {question["benchmark"] for question in questions if question.get("judged")}
    for name in names:
        cells = []
        for judge in ("ours", *PEERS):
            high, low, total = counts.get((judge, name), [0, 0, 0])
            cells.append(f"{high} / {low}{' by hand' if judge != 'ours' and name in hands else ''}" if total else "–")
        print(f"| {name} | {counts['ours', name][2]} | {' | '.join(cells)} |")
    print("\n| benchmark | right answer | response | mark | scored | why |\n|---|---|---|---|---|---|")
    print("\n".join(listed))
    for name, compare in (("MME's", _compare_mme), ("We-Math's", _compare_wemath)):
        same = sum(compare(seed) for seed in range(20))
        print(f"\n{name} score is VLMEvalKit's on {same} of 20 sets of random verdicts.")
    with VERDICTS.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerows([("benchmark", "answer", "response", "peer", "score"), *stored])


if __name__ == "__main__":
    sys.exit(main())
