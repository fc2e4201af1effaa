import io
from dataclasses import replace

from rich.console import Console

from eval import SamplingConfig, table
from eval.summary import summarise


def test_table_shows_accuracy_interval_and_tokens(make_results):
    results = make_results({"base": (1.0, 90), "math": (1.0, 45)}, ("math", "ocr"), items=100, title="[bold]x")
    output = io.StringIO()
    Console(file=output, width=120).print(table(results))
    text = output.getvalue()
    assert "[bold]x" in text
    assert text.count("100.0 ±1.8") == 4 and "pass@" not in text and "judge" not in text
    assert f"{results.cells['math']['ocr'].tokens.mean.value:.0f} tokens" in text
    assert text.count("tokens (") == 1 and "tokens (-5" in text, "only the other model is compared with the baseline"


def test_table_shows_several_samples_and_the_judge(make_results):
    results = make_results({"base": (1.0, 90)}, items=4, sampling=SamplingConfig(samples=2))
    rows = results.scores["base"]["math"]
    results.scores["base"]["math"] = [replace(row, sample=k, judge="wrong") for row in rows for k in range(2)]
    summarise(results)
    output = io.StringIO()
    Console(file=output, width=120).print(table(results))
    assert "pass@2 100.0" in output.getvalue() and "maj@2 100.0" in output.getvalue()
    assert "judge 0.0" in output.getvalue()
