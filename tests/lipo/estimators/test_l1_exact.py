from lipo.estimators.l1_exact import l1_exact


def test_by_hand(advantages):
    # r = .85, −.05, .95, .85
    assert advantages(l1_exact, [1, 0, 1, 1], [100, 200, 300, 400], target_length=250, alpha=0.001) == [
        0.2,
        -0.7,
        0.3,
        0.2,
    ]


def test_default_budget_is_half_of_the_limit(advantages):
    # r = 1, 1 − 100 · .0003
    assert advantages(l1_exact, [1, 1], [200, 300], max_length=400) == [0.015, -0.015]
