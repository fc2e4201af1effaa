import pytest

import reward_fns.math
from lipo.common import LipoError
from reward_fns import MathOptions
from reward_fns._equivalence import MAX_SYMBOLIC, Comparison
from reward_fns._verdict import Status


def test_alternatives():
    assert reward_fns.math.check("2", ["1", "2"]).correct
    assert not reward_fns.math.check("3", ["1", "2"]).correct


def test_the_symbolic_check_decides_what_is_left_and_can_be_switched_off():
    assert reward_fns.math.check("\\frac{n(n+1)}{2}", "\\sum_{k=1}^{n} k").correct
    off = MathOptions(symbolic=False)
    assert reward_fns.math.check("\\frac{n(n+1)}{2}", "\\sum_{k=1}^{n} k", off).status == "unparsed"


def test_ordinary_answers_do_not_reach_the_symbolic_check():
    asked = []

    def symbolic(gold, answer):
        asked.append((gold, answer))
        return Status.UNPARSED

    pairs = [
        ("85", "85"),
        ("\\frac{1}{2}", "0.5"),
        ("x^2+2x+1", "(x+1)^2"),
        ("(1,2]", "[1,2)"),
        ("2\\sqrt3", "\\sqrt{12}"),
    ]
    pairs += [("y=2x+1", "2x-y+1=0"), ("\\{1,2\\}", "2, 1"), ("5 cm", "50 mm"), ("red", "blue"), ("x>3", "(3,\\infty)")]
    for gold, answer in pairs:
        Comparison(symbolic).status(gold, answer)
    assert asked == []


def test_one_answer_causes_a_bounded_number_of_symbolic_checks_and_none_after_a_timeout():
    calls = []

    def different(gold, answer):
        calls.append(answer)
        return Status.DIFFERENT

    many = ", ".join(f"\\sum_{{k=1}}^{{{i}}} x" for i in range(20))
    Comparison(different).status(many, many.replace("x", "y"))
    assert len(calls) <= MAX_SYMBOLIC
    calls.clear()

    def timeout(gold, answer):
        calls.append(answer)
        return Status.TIMEOUT

    assert Comparison(timeout).status(many, many.replace("x", "y")) is Status.TIMEOUT
    assert len(calls) == 1


def test_unevaluated_answers_need_permission():
    assert not reward_fns.math.check("47+38", 85).correct
    assert reward_fns.math.check("47+38", 85, MathOptions(accept_unevaluated=True)).correct


def test_settings_of_other_families_are_refused():
    with pytest.raises(LipoError, match="tolerance"):
        reward_fns.math.compute_score("m", "\\boxed{1}", "1", tolerance=0.1)
