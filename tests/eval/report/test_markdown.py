from dataclasses import replace

from eval import Claim, JudgeConfig, SamplingConfig
from eval.claims import judge
from eval.report import write_report
from eval.report._markdown import card_line, render_markdown
from eval.summary import summarise


def test_tables_claims_and_escapes(make_results, tmp_path):
    results = make_results({"base": (0.5, 90), "math": (0.6, 40)}, ("math", "ocr"), items=30)
    verdicts = judge([Claim("math", "math", 0.42)], results)
    text = render_markdown(results, verdicts, "a | <b>\n*c*")
    assert text.startswith("# a \\| \\<b\\> \\*c\\*\n")
    cell = results.cells["math"]["math"]
    row = next(line for line in text.split("## math (30 items)")[1].splitlines() if line.startswith("| math |"))
    assert row.count("|") == 11 and f"{100 * cell.accuracy.value:.1f} %" in row
    assert "| tokens per right answer | reflections |" in text and f"| {cell.reflections:.2f} |" in text
    assert f"- **{'held' if verdicts[0].held else 'not held'}" in text


def test_it_is_written_beside_the_page(make_results, tmp_path):
    path = write_report(make_results({"base": (0.5, 90)}, items=5), tmp_path, title="One model")
    assert path == tmp_path / "report.html"
    assert (tmp_path / "report.md").read_text().startswith("# One model\n")


def test_the_line_for_a_model_card(make_results):
    results = make_results({"base": (0.5, 90), "math": (0.6, 40)}, ("math", "ocr"), items=30)
    line, change = card_line(results, "math"), results.comparisons["math"]["average"]
    assert line.startswith(f"math: accuracy {100 * results.averages['math'].accuracy.value:.1f} % [")
    assert "average over math, ocr (60 items); against base +" in line
    assert f"{100 * (1 - change.token_ratio.value):.1f} % [" in line and "fewer tokens; 1 response per item" in line
    assert line.replace("[", "\\[").replace("]", "\\]") in render_markdown(results, [], "x")
    assert "against" not in card_line(results, "base")


def test_prompts_are_shown_one_of_each_kind_and_stay_text(make_results):
    results = make_results({"base": (0.5, 90)}, items=4)
    first, second, third, fourth = results.items["math"]
    asked = (("user", "Which?\n# <b>\r```\u2028- x"),)
    results.items["math"] = [
        replace(first, error="no image"),
        replace(second, scorer="multiple_choice", messages=asked),
        replace(third, scorer="rounded", messages=(("system", "Be short."), ("user", "How many?"))),
        replace(fourth, scorer="rounded", messages=(("user", "Another"),)),
    ]
    shown = render_markdown(results, [], "x").split("## Prompts\n\n")[1].split("\n## For a model card")[0]
    assert shown.splitlines() == [
        "math, row 1, before the model's own chat template (scorer: multiple\\_choice):",
        "",
        "    user: Which?",
        "    # <b>",
        "    ```",
        "    - x",
        "",
        "math, row 2, before the model's own chat template (scorer: rounded):",
        "",
        "    system: Be short.",
        "    user: How many?",
    ]


def test_samples_judge_and_categories_have_columns(make_results):
    judge = JudgeConfig("http://127.0.0.1:9/v1", "m")
    results = make_results({"base": (0.5, 90)}, items=8, sampling=SamplingConfig(samples=2), judge=judge)
    rows = results.scores["base"]["math"]
    twice = [replace(row, sample=k, key=f"{row.key}-{k}", judge="right") for row in rows for k in range(2)]
    results.scores["base"]["math"] = twice
    results.items["math"] = [replace(i, groups={"le|vel": f"<{i.index % 2}>"}) for i in results.items["math"]]
    summarise(results)
    text = render_markdown(results, [], "x")
    assert "| pass@2 | maj@2 | judge | judge unclear |" in text
    assert "| le\\|vel | items | base: accuracy · tokens |" in text and "| \\<0\\> | 4 |" in text
