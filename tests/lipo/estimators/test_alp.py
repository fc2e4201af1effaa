from lipo.estimators.alp import alp


def test_by_hand(advantages):
    # Three of four correct: r = .925, −.15, .775, .7
    assert advantages(alp, [1, 0, 1, 1], [100, 200, 300, 400], beta=0.001) == [0.3625, -0.7125, 0.2125, 0.1375]


def test_an_unsolved_question_is_charged_as_if_one_were_correct(advantages):
    # r = −.025, −.05, −.075, −.1
    assert advantages(alp, [0, 0, 0, 0], [100, 200, 300, 400], beta=0.001) == [0.0375, 0.0125, -0.0125, -0.0375]
