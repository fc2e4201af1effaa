import pytest

from reward_fns._limits import refusal
from reward_fns._verdict import Status


@pytest.mark.parametrize(
    "text",
    [
        "9^{9^{9}}",
        "9^9^9^9",
        "2^{1000000}",
        "99999!",
        "5!!",
        "(9!)!",
        "1" * 61,
        "(" * 13,
        "x" * 301,
        "(10^{9})^{10^{9}}",
    ],
)
def test_what_could_explode_is_too_long(text):
    assert refusal(text) is Status.TOO_LONG


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')",
        "lambda x: x",
        "eval(1)",
        "\\text{open(1)}",
        "\\input{x}",
        "\\write18{x}",
        "x'",
        "π",
        "a\x00",
        "5\\ldots",
    ],
)
def test_code_and_unknown_commands_are_unparsed(text):
    assert refusal(text) is Status.UNPARSED


@pytest.mark.parametrize(
    "text",
    [
        "\\frac{1}{2}",
        "2^{2019}",
        "2^{10}+3^{4}",
        "20!",
        "\\sum_{k=1}^{3} k",
        "\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}",
        "x^{n^{2}}",
    ],
)
def test_ordinary_mathematics_passes(text):
    assert refusal(text) is None
