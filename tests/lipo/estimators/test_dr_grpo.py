import pytest

from lipo.estimators.dr_grpo import dr_grpo


@pytest.mark.parametrize("normalize_by_std", [True, False])
def test_by_hand(advantages, normalize_by_std):
    assert advantages(dr_grpo, [1, 0, 1, 1], [100, 200, 300, 400], normalize_by_std=normalize_by_std) == [
        0.25,
        -0.75,
        0.25,
        0.25,
    ]
