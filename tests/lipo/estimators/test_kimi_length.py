from lipo.estimators.kimi_length import kimi_length


def test_by_hand(advantages):
    # λ = .5, .1667, −.1667, −.5 and r = 1.5, 0, .8333, .5
    assert advantages(kimi_length, [1, 0, 1, 1], [100, 200, 300, 400]) == [0.79167, -0.70833, 0.125, -0.20833]


def test_a_long_wrong_answer_is_punished_a_short_one_not_rewarded(advantages):
    # r = 0 + min(0, .5), 0 − .5, 1 + 0
    assert advantages(kimi_length, [0, 0, 1], [100, 300, 200]) == [-1 / 6, -2 / 3, 5 / 6]


def test_equal_lengths_leave_the_reward_alone(advantages):
    assert advantages(kimi_length, [1, 0], [100, 100]) == [0.5, -0.5]


def test_weight(advantages):
    assert advantages(kimi_length, [1, 1], [100, 200], weight=0.4) == [0.2, -0.2]
