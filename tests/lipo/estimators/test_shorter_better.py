from lipo.estimators.shorter_better import shorter_better


def test_by_hand(advantages, statistics):
    # Shortest correct: 100; r = 2, −.1, 1.8, 1.7
    assert advantages(shorter_better, [1, 0, 1, 1], [100, 200, 300, 400]) == [0.65, -1.45, 0.45, 0.35]
    assert statistics(shorter_better, [1.0, 0, 1, 1], [100, 200, 300, 400])["optimal_length"] == 100


def test_mean_length_where_none_is_correct(advantages):
    # r = −.15, −.05, −.05, −.15
    assert advantages(shorter_better, [0, 0, 0, 0], [100, 200, 300, 400]) == [-0.05, 0.05, 0.05, -0.05]


def test_too_short_costs_as_much_as_too_long(advantages):
    # The shortest correct has 200 tokens; r = −.1, 2, −.1
    assert advantages(shorter_better, [0, 1, 0], [100, 200, 300]) == [-0.7, 1.4, -0.7]
