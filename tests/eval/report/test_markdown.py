from eval import Claim
from eval.claims import judge
from eval.report import write_report
from eval.report._markdown import render_markdown


def test_tables_claims_and_escapes(make_results, tmp_path):
    results = make_results({"base": (0.5, 90), "math": (0.6, 40)}, ("math", "ocr"), items=30)
    verdicts = judge([Claim("math", "math", 0.42)], results)
    text = render_markdown(results, verdicts, "a | <b>\n*c*")
    assert text.startswith("# a \\| \\<b\\> \\*c\\*\n")
    cell = results.cells["math"]["math"]
    row = next(line for line in text.split("## math (30 items)")[1].splitlines() if line.startswith("| math |"))
    assert row.count("|") == 11 and f"{100 * cell.accuracy.value:.1f} %" in row
    assert f"- **{'held' if verdicts[0].held else 'not held'}" in text


def test_it_is_written_beside_the_page(make_results, tmp_path):
    path = write_report(make_results({"base": (0.5, 90)}, items=5), tmp_path, title="One model")
    assert path == tmp_path / "report.html"
    assert (tmp_path / "report.md").read_text().startswith("# One model\n")
