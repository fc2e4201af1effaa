import html
import html.parser
import json
import re
from dataclasses import replace

import pytest

from eval import Claim
from eval.report import write_report
from eval.report._browser import ITEMS_PER_BENCHMARK
from eval.sources import Clip
from eval.summary import summarise
from lipo.common import LipoError

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)><!--"


@pytest.fixture
def page(make_results, tmp_path):
    def page(results, *arguments, **options):
        return write_report(results, tmp_path / "report", *arguments, **options).read_text()

    return page


@pytest.fixture
def results(make_results):
    models = {"base": (0.5, 90), "math": (0.6, 40), "merged": (0.6, 50)}
    return make_results(models, ("math", "ocr"), items=30, claims=[Claim("math", "math", 0.42)])


def _elements(page):
    found = []

    class Parser(html.parser.HTMLParser):
        def handle_starttag(self, tag, attributes):
            found.append((tag, dict(attributes)))

    Parser().feed(page)
    return found


def _data(page):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S).group(1))


def test_nothing_is_loaded_from_outside(page, results):
    text = page(results, {"math": [{"step": 1, "response_length": 90.0, "score": 0.5}]})
    elements = _elements(text)
    assert not [tag for tag, _ in elements if tag in ("link", "iframe", "object", "embed", "base")]
    for tag, attributes in elements:
        for name in ("src", "href", "xlink:href", "action", "srcset"):
            assert (attributes.get(name) or "#").startswith(("#", "data:")), (tag, attributes)
    assert "@import" not in text and "url(http" not in text
    policy = next(a["content"] for _, a in elements if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy and "script-src 'sha256-" in policy


def test_hostile_text_stays_text(page, results):
    for rows in results.scores.values():
        row = rows["math"][0]
        rows["math"][0] = type(row)(**{**row.__dict__, "response": HOSTILE, "prediction": HOSTILE, "error": HOSTILE})
    item = results.items["math"][0]
    results.items["math"][0] = type(item)(
        **{**item.__dict__, "messages": (("user", HOSTILE),), "ground_truth": HOSTILE}
    )
    text = page(results, {HOSTILE: [{"step": 1, "response_length": 9.0, "score": 0.5}]}, title=HOSTILE)
    scripts = [attributes for tag, attributes in _elements(text) if tag == "script"]
    assert scripts == [{"type": "application/json", "id": "data"}, {}]
    assert not [a for _, a in _elements(text) if any(name.startswith("on") for name in a)]
    assert any(
        i["question"] == HOSTILE and i["answers"]["math"]["text"] == HOSTILE for i in _data(text)["benchmarks"]["math"]
    )


def test_a_prompt_of_each_kind_is_shown(page, results):
    items = results.items["math"]
    items[0] = replace(items[0], scorer="rounded", messages=(("user", f"<image>{HOSTILE}"),))
    shown = page(results).split("<h3>Prompts</h3>")[1].split("<script type")[0]
    assert re.findall(r"(\w+), row (\d+), .*scorer: (\w+)", shown) == [
        ("math", "0", "rounded"),
        ("math", "1", "math"),
        ("ocr", "0", "ocr"),
    ]
    assert "user: &lt;image&gt;&lt;/script&gt;" in shown and f"user: {html.escape(items[1].messages[0][1])}" in shown


def test_figures_and_verdicts_are_shown(page, results):
    text = page(results, claims=results.config.claims)
    for model, cells in results.cells.items():
        for cell in cells.values():
            assert f"{100 * cell.accuracy.value:.1f}" in text, model
    assert text.count('class="badge"') == 1
    assert "fewer tokens than base on math" in text


def test_ids_within_the_page_are_unique(page, results):
    ids = re.findall(r'\bid="([^"]+)"', page(results))
    assert len(ids) == len(set(ids))


def test_training_is_shown_only_when_given(page, results):
    assert "<h2>Training</h2>" not in page(results)
    curves = {"math": [{"step": 1, "response_length": 90.0}, {"step": 2, "response_length": float("nan")}]}
    text = page(results, curves)
    assert "<h2>Training</h2>" in text
    assert "mean response tokens during training" in text and "mean score during training" not in text


def test_browser_takes_disagreements_first_and_bounds_their_number(page, make_results):
    results = make_results({"base": (0.9, 90), "math": (0.9, 40)}, items=ITEMS_PER_BENCHMARK + 50)
    items = _data(page(results))["benchmarks"]["math"]
    assert len(items) == ITEMS_PER_BENCHMARK
    differs = [i["answers"]["base"]["correct"] != i["answers"]["math"]["correct"] for i in items]
    assert any(differs) and differs == sorted(differs, reverse=True)
    assert items[0]["images"][0].startswith("data:image/jpeg;base64,")


def test_a_clip_is_a_strip_of_frames(page, results):
    item = results.items["math"][0]
    names = [item.images[0]] * 20 + [b"no picture"]
    clip = Clip(names, tuple(float(i) for i in range(21)), 1.0, 10, 10, "k")
    assert "<dt>Videos</dt>" not in page(results)
    text = ((("user", "<video>Who?"),), (), clip)
    results.items["math"][0] = type(item)(**{**item.__dict__, "messages": text[0], "images": text[1], "clip": text[2]})
    written = page(results)
    assert "At most 16 frames of a video (spread over it)" in written
    rows = {i["row"]: i for i in _data(written)["benchmarks"]["math"]}
    shown = rows[0]["frames"]
    assert [frame["time"] for frame in shown] == [0.0, 3.0, 6.0, 9.0, 11.0, 14.0, 17.0], "the last is no picture"
    assert all(frame["source"].startswith("data:image/jpeg;base64,") for frame in shown)
    assert rows[0]["question"] == "Who?" and rows[1]["frames"] == [] and rows[0]["images"] == []


def test_an_unreadable_image_is_left_out(page, results):
    item = results.items["math"][0]
    results.items["math"][0] = type(item)(**{**item.__dict__, "images": (b"not an image",)})
    rows = {i["row"]: i for i in _data(page(results))["benchmarks"]["math"]}
    assert rows[0]["images"] == [] and rows[1]["images"]


def test_given_claims_replace_those_of_the_config(page, results):
    text = page(results, claims=[Claim("merged", min_token_reduction=0.3)])
    assert "merged: at least 30 % fewer tokens" in text and "math: at least 42 %" not in text
    with pytest.raises(LipoError, match="claims"):
        page(results, claims=[Claim("nobody")])


def test_a_single_item_is_shown_without_limits(page, make_results, tmp_path):
    """One item is one cluster."""
    claim = Claim("math", "math", min_token_reduction=0.1)
    text = page(make_results({"base": (0.5, 90), "math": (0.6, 40)}, items=1, claims=[claim]))
    markdown = (tmp_path / "report" / "report.md").read_text()
    assert "<small>–</small>" in text and "[–]" in markdown
    assert not re.search(r"\b(inf|nan)\b", re.sub(r"<script.*?</script>", "", text, flags=re.S) + markdown)


@pytest.mark.parametrize(
    ("degrees", "said", "unsaid"),
    [
        ((), ["Accuracy: Bonett and Price's", "McNemar's exact test"], ["without a test"]),
        (("math", "ocr"), ["Accuracy: paired percentile bootstrap", "without a test"], ["Bonett", "McNemar's"]),
        (("ocr",), ["right or wrong: Bonett", "McNemar's", "Accuracy with degrees: paired percentile"], []),
    ],
)
def test_the_page_says_how_accuracies_were_compared(page, results, degrees, said, unsaid):
    for rows in results.scores.values():
        for name in degrees:
            rows[name] = [replace(row, correct=row.correct / 2) for row in rows[name]]
    summarise(results)
    text = " ".join(re.search("<dt>Against the baseline</dt>(.*?)</dd>", page(results))[1].split())
    assert all(part in text for part in said) and not any(part in text for part in unsaid), text


def test_a_single_model_is_compared_with_none(page, make_results):
    assert "Against the baseline" not in page(make_results({"base": (0.5, 90)}, items=5))
