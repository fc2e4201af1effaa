import io

from rich.console import Console

from eval import table


def test_table_shows_accuracy_interval_and_tokens(make_results):
    results = make_results({"base": (1.0, 90), "math": (1.0, 45)}, ("math", "ocr"), items=100, title="[bold]x")
    output = io.StringIO()
    Console(file=output, width=120).print(table(results))
    text = output.getvalue()
    assert "[bold]x" in text
    assert text.count("100.0 ±1.8") == 4
    assert f"{results.cells['math']['ocr'].tokens.mean.value:.0f} tokens" in text
    assert text.count("tokens (") == 1 and "tokens (-5" in text, "only the other model is compared with the baseline"
