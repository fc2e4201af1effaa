import pytest

from lipo.estimators.efficient_rl import efficient_rl


@pytest.mark.parametrize("normalize_by_std", [True, False])
def test_by_hand(advantages, normalize_by_std):
    # Correct lengths: μ 266.67, σ 124.72 (population), z = −1.3363, .2673, 1.0690; r = .97919, 0, .94336, .92556.
    # Leave-one-out baseline: 4/3 of the distance to the mean .71203.
    assert advantages(efficient_rl, [1, 0, 1, 1], [100, 200, 300, 400], normalize_by_std=normalize_by_std) == [
        0.35622,
        -0.94937,
        0.30844,
        0.28471,
    ]


def test_leave_one_out_baseline_without_length_term(advantages):
    assert advantages(efficient_rl, [1, 0, 0], [100, 200, 300], alpha=0) == [1, -0.5, -0.5]
