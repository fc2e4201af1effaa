from itertools import combinations

from matplotlib.figure import Figure
from matplotlib.text import Text

from recipes.tiny.study.picture import name_points, scatter


def figure(value, spread):
    return {"value": value, "low": value - spread, "high": value + spread}


def test_names_of_a_crowd_do_not_cover_each_other():
    cells = {
        f"method_{number}": {"accuracy": figure(0.9 + 0.001 * number, 0.02), "tokens": figure(30 + 0.3 * number, 0.8)}
        for number in range(9)
    } | {"base": {"accuracy": figure(0.6, 0.03), "tokens": figure(120.0, 4.0)}}
    picture = Figure(figsize=(7, 3.2), layout="constrained")
    axis = picture.subplots()
    scatter(axis, cells, {})
    picture.draw_without_rendering()
    name_points(axis, cells, {})
    picture.draw_without_rendering()
    # Without the lines to the points.
    names = {text.get_text(): Text.get_window_extent(text) for text in axis.texts}
    assert set(names) == set(cells)
    for one, other in combinations(names, 2):
        assert not names[one].overlaps(names[other]), (one, other)
    # A lone point's name stands beside it.
    x, y = axis.transData.transform((120.0, 60.0))
    assert 0 < names["base"].x0 - x < 10 and 0 < names["base"].y0 - y < 10
