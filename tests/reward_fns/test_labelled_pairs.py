"""The hand-labelled table: every ground truth and answer is judged as a careful person would."""

from pathlib import Path

import pytest

from reward_fns import StructuredOptions, counting_yes_no, math, multiple_choice, ocr, structured

CHECKS = {
    "math": math,
    "structured": structured,
    "structured_relaxed": structured,
    "ocr": ocr,
    "multiple_choice": multiple_choice,
    "counting_yes_no": counting_yes_no,
}
OPTIONS = {"structured_relaxed": StructuredOptions(tolerance=0.05)}
EXTRA = {"multiple_choice": {"options": ["9 cm", "12 cm", "15 cm", "18 cm"]}}

LINES = (Path(__file__).parent / "data" / "pairs.tsv").read_text(encoding="utf-8").splitlines()[1:]
PAIRS = [line.replace("␤", "\n").split("\t") for line in LINES]


def test_the_table_is_large_and_has_no_duplicates():
    assert len(PAIRS) >= 500
    assert len({tuple(pair[:4]) for pair in PAIRS}) == len(PAIRS)
    assert {pair[4] for pair in PAIRS} == {"equal", "different"}


@pytest.mark.parametrize("family", CHECKS)
def test_verdicts(family):
    wrong = []
    for name, kind, gold, answer, verdict in PAIRS:
        if name == family:
            result = CHECKS[family].check(answer, gold, OPTIONS.get(family), EXTRA.get(family))
            if result.correct != (verdict == "equal"):
                wrong.append((kind, gold, answer, verdict, str(result.status)))
    assert not wrong
