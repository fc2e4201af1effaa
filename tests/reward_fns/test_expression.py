import contextlib
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_fns._evaluate import UnboundedError, evaluate
from reward_fns._expression import UnreadableError, parse_expression
from reward_fns._latex import clean_latex
from reward_fns._sampling import proportional, same_formula

POINT = {"x": Fraction(3, 7), "y": Fraction(2), "n": Fraction(5)}


def read(text):
    return parse_expression(clean_latex(text))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2 x + 1", Fraction(13, 7)),
        ("x^{2}y", Fraction(18, 49)),
        ("-x^2", Fraction(-9, 49)),
        ("1/2x", Fraction(3, 14)),
        ("(x+1)(x-1)", Fraction(-40, 49)),
        ("\\frac12", Fraction(1, 2)),
        ("\\sqrt{\\frac{4}{9}}", Fraction(2, 3)),
        ("n!", 120),
        ("\\binom{5}{2}", 10),
        ("|x-1|", Fraction(4, 7)),
        ("10^{20}+1-10^{20}", 1),
        ("x\\cdot -2", Fraction(-6, 7)),
        ("2^{n+1}", 64),
    ],
)
def test_rational_operations_are_exact(text, value):
    assert evaluate(read(text), POINT)[0] == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("\\sqrt[3]{-8}", -2),
        ("\\sin 30^\\circ", 0.5),
        ("\\sin^{-1} 1", 1.5707963267948966),
        ("\\log_2 8", 3),
        ("\\log 100", 2),
        ("\\sin^2 y + \\cos^2 y", 1),
        ("\\sin 2y", -0.7568024953079282),
        ("e^{i\\pi}", -1),
    ],
)
def test_functions(text, value):
    assert complex(evaluate(read(text), POINT)[0]) == pytest.approx(value)


@pytest.mark.parametrize(
    "text",
    [
        "x/2y",
        "red",
        "x'",
        "2^3^2",
        "5-",
        "1 2",
        "9!!",
        "",
        "\\frac{1}",
        "x=1",
        "(1",
        "\\sum k",
        "x^--1",
        "(" * 40 + "1" + ")" * 40,
    ],
)
def test_what_is_ambiguous_or_no_formula_is_not_read(text):
    with pytest.raises(UnreadableError):
        parse_expression(text)


@pytest.mark.parametrize("text", ["9^{9^{9}}", "1/0", "0^{0}", "999!", "\\ln 0", "e^{e^{e^{e^{9}}}}", "2^{99999}"])
def test_values_that_are_undefined_or_grow_are_not_computed(text):
    with pytest.raises(UnboundedError):
        evaluate(read(text), {})


@pytest.mark.parametrize(
    ("gold", "answer", "same"),
    [
        ("x^2+2x+1", "(x+1)^2", True),
        ("\\sqrt{x^2}", "|x|", True),
        ("\\sqrt{x^2}", "x", False),
        ("n!", "n(n-1)!", True),
        ("\\frac{n(n+1)}{2}", "\\binom{n+1}{2}", True),
        ("\\sqrt2+\\sqrt3", "\\sqrt{5+2\\sqrt6}", True),
        ("\\pi", "\\frac{355}{113}", False),
        ("x", "x+10^{-12}", False),
        ("a-b", "b-a", False),
        ("0.333333x", "\\frac13x", True),
        ("(1+i)^2", "2i", True),
        # Digits are lost in floating point: left to others.
        ("10^{20}+\\sqrt{2}-10^{20}", "\\sqrt2", None),
        ("2^{99999}", "2^{99998}", None),
    ],
)
def test_formulas_are_the_same_where_their_values_are(gold, answer, same):
    assert same_formula(read(gold), read(answer)) is same


def test_equations_may_be_multiplied_and_inequalities_by_positive_numbers_only():
    line, same, other = read("y-(2x+1)"), read("4x-2y+2"), read("2x-y+2")
    assert proportional(line, same, same_sign=False) is True
    assert proportional(line, same, same_sign=True) is False
    assert proportional(line, other, same_sign=False) is False


@given(st.integers(-50, 50), st.integers(-50, 50), st.integers(-50, 50))
def test_expanding_a_product_keeps_it(a, b, c):
    product = read(f"({a}x+({b}))(x+({c}))")
    expanded = read(f"({a})x^2+({a * c + b})x+({b * c})")
    assert same_formula(product, expanded) is True
    assert same_formula(product, ("add", expanded, ("number", Fraction(1)))) is False


@given(st.text(alphabet="0123456789xye+-*/^!(){}[]|\\ sincoqrtfapl_.,", max_size=80))
def test_any_text_is_read_or_refused_and_evaluated_or_refused(text):
    try:
        node = parse_expression(text)
    except UnreadableError:
        return
    point = dict.fromkeys("abcdfghjklmnopqrstuvwxyz", Fraction(2, 3))
    with contextlib.suppress(UnboundedError, KeyError):
        evaluate(node, point)
