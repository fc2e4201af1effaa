import xml.etree.ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from eval.report._charts import colours, histogram, pareto_front, scatter, training

POINTS = st.dictionaries(st.text("abcdef", min_size=1), st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1)


@given(POINTS)
def test_pareto_front_is_what_nobody_beats(points):
    front = pareto_front(points)

    def beaten(model):
        tokens, accuracy = points[model]
        return any(t <= tokens and a >= accuracy and (t, a) != (tokens, accuracy) for t, a in points.values())

    assert {points[m] for m in front} == {points[m] for m in points if not beaten(m)}
    assert [points[m] for m in front] == sorted(points[m] for m in front)


def test_pictures_are_well_formed_and_reproducible(make_results):
    results = make_results({"base": (0.5, 90), "math": (0.6, 40)}, ("math", "ocr"), items=20)
    curves = {"$\\frac": [{"step": i, "response_length": 90 - i} for i in range(5)]}
    draw = [
        lambda: scatter(results, "math"),
        lambda: scatter(results, "average"),
        lambda: histogram(results, "ocr"),
        lambda: training(results, curves, "response_length", "tokens"),
    ]
    for picture in draw:
        svg = picture()
        assert ET.fromstring(svg).tag.endswith("svg")
        assert svg == picture()
    assert training(results, curves, "score", "score") == ""


def test_nothing_or_everything_right_can_be_drawn(make_results):
    for accuracy in (0.0, 1.1):
        results = make_results({"base": (accuracy, 90), "math": (accuracy, 40)}, ("math", "ocr"), items=96)
        assert "<svg" in scatter(results, "math") and "<svg" in scatter(results, "average")


def test_models_have_colours_of_their_own(make_results):
    results = make_results({"base": (0.5, 90), **{f"m{i}": (0.5, 40) for i in range(6)}}, items=3)
    assert len(set(colours(results).values())) == 7
