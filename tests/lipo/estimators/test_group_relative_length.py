from lipo.estimators.group_relative_length import group_relative_length


def test_by_hand(advantages):
    # Weights of the correct ones 1, 1/3, 0, mean 4/9; r = 1.27778, 0, .94444, .77778
    assert advantages(group_relative_length, [1, 0, 1, 1], [100, 200, 300, 400]) == [0.52778, -0.75, 0.19444, 0.02778]


def test_a_reward_is_never_moved_below_zero(advantages):
    # 1 + 3 · (5/9, −1/9, −4/9) = 2.66667, .66667, −.33333 → 0
    assert advantages(group_relative_length, [1, 1, 1], [100, 300, 400], coefficient=3) == [1.55556, -0.44444, -1.11111]


def test_one_correct_answer_or_equal_lengths_move_nothing(advantages):
    assert advantages(group_relative_length, [1, 0], [100, 200]) == [0.5, -0.5]
    assert advantages(group_relative_length, [1, 1], [100, 100]) == [0, 0]
