from lipo.estimators.grpo_lead import grpo_lead


def test_by_hand(advantages):
    # Correct lengths: μ 266.67, σ 152.75, z = −1.0911, .2182, .8729; r = 1.05607, −1, .98915, .95730, mean .50063.
    # Three of four correct: w(.75) = .95 above the mean, w(.25) = 1.49264 below.
    assert advantages(grpo_lead, [1, 0, 1, 1], [100, 200, 300, 400]) == [0.52767, -2.23989, 0.46409, 0.43383]


def test_a_single_correct_answer_keeps_its_reward(advantages):
    # r = 1, −1, −1, mean −1/3; w(1/3) = 1.48321, w(2/3) = 1.16677
    assert advantages(grpo_lead, [1, 0, 0], [100, 200, 300]) == [4 / 3 * 1.48321, -2 / 3 * 1.16677, -2 / 3 * 1.16677]


def test_division_by_the_deviation(advantages):
    # z = ∓.70711, r = 1.03599, −1, .96526, −1: mean .00031, σ 1.15542 (n − 1); both weights are 1.41656
    assert advantages(grpo_lead, [1, 0, 1, 0], [100, 200, 300, 400], normalize_by_std=True) == [
        1.26974,
        -1.22639,
        1.18303,
        -1.22639,
    ]
