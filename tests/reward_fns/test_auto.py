import pytest

from lipo.common import LipoError
from reward_fns.auto import SOURCES, compute_score

GOOD = "<think>x</think>\\boxed{85}"


@pytest.mark.parametrize("source", ["tiny/math", "tiny/structured", "tiny/ocr", "math"])
def test_known_sources(source):
    assert compute_score(source, GOOD, "85")["score"] == 1.0


def test_unknown_source_is_refused_with_the_nearest_known():
    with pytest.raises(LipoError, match="tiny/math"):
        compute_score("tiny/maths", GOOD, "85")


def test_sources_can_be_added_and_checked():
    assert compute_score("mine", GOOD, 85, sources={"mine": "structured"})["acc"] == 1.0
    with pytest.raises(LipoError, match=r"sources\.mine"):
        compute_score("mine", GOOD, 85, sources={"mine": "poetry"})


def test_each_family_takes_the_settings_it_knows():
    settings = {"tolerance": 0.05, "case_sensitive": True, "format_weight": 0.0}
    assert compute_score("chartqa", "\\boxed{84}", 85, **settings)["score"] == 1.0
    assert compute_score("docvqa", "\\boxed{ab}", "AB", **settings)["acc"] == 0.0
    with pytest.raises(LipoError, match="tolerence"):
        compute_score("chartqa", GOOD, 85, tolerence=0.05)


def test_all_families_return_the_same_keys():
    extra = {"options": ["84", "85"]}
    keys = {
        tuple(compute_score(f, GOOD, "B" if f == "multiple_choice" else "85", extra)) for f in set(SOURCES.values())
    }
    assert len(keys) == 1
