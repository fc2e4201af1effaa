import dataclasses
import math
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lipo.common import LipoError, load_yaml, option, parse, reference_table


@dataclasses.dataclass(frozen=True)
class Inner:
    weight: float = option(1.0, help="Weight.", minimum=0)


@dataclasses.dataclass(frozen=True)
class Options:
    """One field of every kind that the recipes use."""

    steps: int = option(help="Number of steps.", minimum=1, maximum=10)
    scale: float = option(0.5, help="Factor.", minimum=0, maximum=2)
    form: str = option("cosine", help="Decay.", choices=("cosine", "linear"))
    limit: int | None = option(None, help="Upper bound.")
    mixed: float | str = option("auto", help="A number, or auto.")
    strict: bool = option(True, help="Strictness.")
    kind: Literal["a", "b"] = option("a", help="Kind.")
    path: Path = option(Path("here"), help="Place.")
    names: list[str] = option(factory=list, help="Names.")
    pair: tuple[float, float] = option((0.0, 1.0), help="Two numbers.", minimum=0)
    weights: dict[str, float] = option(factory=dict, help="By name.", maximum=1)
    inner: Inner = option(Inner(), help="Nested.")
    parts: tuple[Inner, ...] = option((), help="Several.")


def read(**data):
    return parse(Options, {"steps": 1} | data, "recipe")


def test_defaults_and_every_type():
    assert read() == Options(steps=1)
    given = read(
        steps=3,
        scale=1,
        limit=5,
        mixed=2,
        path="a/b",
        names=["x"],
        pair=[1, 2],
        weights={"m": 1},
        inner={"weight": 2},
        parts=[{"weight": 3}, {}],
    )
    assert given == Options(
        steps=3,
        scale=1.0,
        limit=5,
        mixed=2.0,
        path=Path("a/b"),
        names=["x"],
        pair=(1.0, 2.0),
        weights={"m": 1.0},
        inner=Inner(2.0),
        parts=(Inner(3.0), Inner(1.0)),
    )
    assert isinstance(given.scale, float)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"scael": 1}, "unknown key 'scael' in recipe; did you mean 'scale'?"),
        ({"zzz": 1}, "unknown key 'zzz' in recipe; known: form, inner, kind"),
        ({"steps": 0}, "recipe.steps is 0; give a number between 1 and 10"),
        ({"steps": 11}, "between 1 and 10"),
        ({"steps": True}, "recipe.steps is True; give a value of type int"),
        ({"steps": 1.5}, "type int"),
        ({"steps": None}, "type int"),
        ({"scale": "much"}, "recipe.scale is 'much'; give a value of type float"),
        ({"scale": math.nan}, "give a finite number"),
        ({"scale": math.inf}, "give a finite number"),
        ({"scale": -0.1}, "between 0 and 2"),
        ({"strict": 1}, "type bool"),
        ({"strict": "yes"}, "type bool"),
        ({"form": "square"}, "use one of 'cosine', 'linear'"),
        ({"kind": "c"}, "use one of 'a', 'b'"),
        ({"names": "x"}, "give a list"),
        ({"names": [1]}, "recipe.names[0] is 1; give a value of type str"),
        ({"pair": [1, 2, 3]}, "recipe.pair is [1, 2, 3]; give a list of 2 values"),
        ({"pair": [1, math.nan]}, "recipe.pair[1] is nan; give a finite number"),
        ({"pair": [1, -1]}, "recipe.pair[1] is -1.0; give a number at least 0"),
        ({"weights": {"m": 2}}, "recipe.weights['m'] is 2.0; give a number at most 1"),
        ({"weights": [1]}, "give a mapping"),
        ({"inner": 1}, "recipe.inner is 1; give a mapping"),
        ({"inner": {"wait": 1}}, "unknown key 'wait' in recipe.inner; did you mean 'weight'?"),
        ({"parts": [{}, {"weight": -1}]}, "recipe.parts[1].weight is -1.0; give a number at least 0"),
    ],
)
def test_every_mistake_has_its_message(data, message):
    with pytest.raises(LipoError) as caught:
        read(**data)
    assert message in str(caught.value)


def test_missing_key_says_what_it_is_for():
    with pytest.raises(LipoError, match=r"recipe has no key 'steps'; add it: Number of steps\."):
        parse(Options, {}, "recipe")


def test_a_number_in_a_union_does_not_become_text():
    assert read(mixed=3).mixed == 3.0
    assert read(mixed="auto").mixed == "auto"


@given(st.floats(0, 2) | st.floats() | st.integers(-5, 5) | st.text(max_size=5) | st.none() | st.booleans())
def test_a_float_field_is_in_range_or_refused(value):
    try:
        scale = read(scale=value).scale
    except LipoError:
        return
    assert isinstance(scale, float)
    assert 0 <= scale <= 2


def write(directory, text):
    path = directory / "recipe.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_yaml_with_interpolation_and_overrides(tmp_path):
    path = write(tmp_path, "steps: 2\nscale: 1e-5\nlimit: ${steps}\ninner: {weight: 2}\n")
    assert load_yaml(Options, path) == Options(steps=2, scale=1e-5, limit=2, inner=Inner(2.0))
    changed = load_yaml(Options, path, ["steps=4", "inner.weight=0.5"])
    assert (changed.steps, changed.limit, changed.inner.weight) == (4, 4, 0.5)


@pytest.mark.parametrize(
    "text",
    [
        "- 1\n- 2",
        "3",
        "a: [1",
        "steps: ${nowhere}",
        "steps: 1\nsteps: 2",
        "\x00",
        b"\xff\xfe",
        "steps: &loop [*loop]",
        "steps: " + "[" * 5000,
        "null: 1",
        "steps: !!python/object/apply:os.getcwd []",
    ],
)
def test_every_broken_file_is_one_line(tmp_path, text):
    with pytest.raises(LipoError) as caught:
        load_yaml(Options, write(tmp_path, text))
    assert str(tmp_path) in caught.value.what
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "override", ["steps", "steps=", "steps=[1", "steps=${", "++steps=1", "=1", "[=1", "steps=0b_", "steps.a=1"]
)
def test_every_broken_override_is_refused(tmp_path, override):
    with pytest.raises(LipoError):
        load_yaml(Options, write(tmp_path, "steps: 1"), [override])


def test_missing_file_and_directory(tmp_path):
    with pytest.raises(LipoError, match="no recipe at"):
        load_yaml(Options, tmp_path / "none.yaml")
    with pytest.raises(LipoError, match="no recipe at"):
        load_yaml(Options, tmp_path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(alphabet=st.sampled_from("steps: 1\n[]{}&*!#'\"$-%@"), max_size=40))
def test_no_text_whatever_ends_in_another_exception(tmp_path, text):
    try:
        assert isinstance(load_yaml(Options, write(tmp_path, text)), Options)
    except LipoError as error:
        assert error.what


def test_reference_table_names_every_field():
    table = reference_table(Options).splitlines()
    assert table[0] == "| key | type | default | meaning |"
    assert len(table) == 2 + len(dataclasses.fields(Options))
    assert table[2] == "| `steps` | int | *required* | Number of steps. |"
    assert "| `form` | `cosine` or `linear` | cosine | Decay. |" in table
    assert "| `limit` | int or None | null | Upper bound. |" in table
    assert "| `strict` | bool | true | Strictness. |" in table
    assert all(row.count("|") == 5 for row in table)
