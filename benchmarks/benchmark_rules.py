"""Compare the declared benchmarks' scores with VLMEvalKit's and lmms-eval's published rules, on the marked responses.

    pip install --no-deps ms-vlmeval==0.0.20 lmms-eval==0.7.3 timeout-decorator
    python benchmarks/benchmark_rules.py

Prints two Markdown tables: counts, and every response on which a rule and the mark differ. The rules are run from the
packages as published. Where they expect a judge model's extraction they get the response's final answer; the others
read the response after its reasoning.
"""

from __future__ import annotations

import ast
import contextlib
import io
import random
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
_SMP = ("vlmeval", "vlmeval.smp", "vlmeval.smp.log", "vlmeval.smp.file", "vlmeval.utils")
_LMMS = (
    "lmms_eval",
    "lmms_eval.tasks",
    "lmms_eval.tasks._task_utils",
    "lmms_eval.tasks._task_utils.file_utils",
    "lmms_eval.tasks._task_utils.vqa_eval_metric",
    "lmms_eval.verifiers",
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
        return None
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

        def mmmu(row: Row, response: str, answer: str) -> float:
            options = _options(row)
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
    return None


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


def main() -> None:
    """Judge every marked response by every rule."""
    questions = yaml.safe_load(ANSWERS.read_text("utf-8"))
    names = list(dict.fromkeys(question["benchmark"] for question in questions))
    makers = {"VLMEvalKit": _vlmeval, "lmms-eval": _lmms}
    rules = {(peer, name): make(name) for name in names for peer, make in makers.items()}
    counts: dict[tuple[str, str], list[int]] = {}
    listed: list[str] = []
    for question in questions:
        name, row = question["benchmark"], question["row"]
        for response, mark, *reason in question["answers"]:
            answer = extract_answer(response, RewardOptions(answer_style="plain")) or ""
            verdicts: dict[str, float | None] = {"ours": _own(question, response)}
            for peer in ("VLMEvalKit", "lmms-eval"):
                rule = rules[peer, name]
                if rule is None or (peer == "lmms-eval" and name == "mmmu" and not _options(row)):
                    continue
                with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                    try:
                        verdicts[peer] = rule(row, _after_reasoning(response), answer)
                    except Exception:
                        verdicts[peer] = None
            for judge, score in verdicts.items():
                high, low, total, trips = counts.setdefault((judge, name), [0, 0, 0, 0])
                wrong = (score or 0.0) - mark
                counts[judge, name] = [high + (wrong > 0.02), low + (wrong < -0.02), total + 1, trips + (score is None)]
                if score is None or abs(wrong) > 0.02:
                    shown = "an exception" if score is None else f"{score:.3g}"
                    text = f"`{response}`".replace("|", "\\|")
                    listed.append(
                        f"| {name} | {row['answer']} | {text} | {mark:g} | {judge}: {shown} | {' '.join(reason)} |"
                    )
    print("| benchmark | responses | ours | VLMEvalKit | lmms-eval |\n|---|---|---|---|---|")
    for name in names:
        cells = []
        for judge in ("ours", "VLMEvalKit", "lmms-eval"):
            high, low, total, _ = counts.get((judge, name), [0, 0, 0, 0])
            cells.append(f"{high} / {low}{f' of {total}' if total < counts['ours', name][2] else ''}" if total else "–")
        print(f"| {name} | {counts['ours', name][2]} | {' | '.join(cells)} |")
    print("\n| benchmark | right answer | response | mark | scored | why |\n|---|---|---|---|---|---|")
    print("\n".join(listed))
    for name, compare in (("MME's", _compare_mme), ("We-Math's", _compare_wemath)):
        same = sum(compare(seed) for seed in range(20))
        print(f"\n{name} score is VLMEvalKit's on {same} of 20 sets of random verdicts.")


if __name__ == "__main__":
    sys.exit(main())
