from lipo.estimators.dast import dast


def test_by_hand(advantages, statistics):
    # Budget .75 · 266.67 + .25 · 500 = 325; λ = −.69231, −.38462, −.07692, .23077; r = .84615, −.44615, .53846, .38462
    assert advantages(dast, [1, 0, 1, 1], [100, 200, 300, 400], max_length=500) == [0.51538, -0.77692, 0.20769, 0.05385]
    assert statistics(dast, [1.0, 0, 1, 1], [100, 200, 300, 400], max_length=500)["optimal_length"] == 325


def test_an_unsolved_question_has_the_limit_as_budget(advantages):
    # λ = −.8, −.2, 0.2 → r = −.82, −.28, −.1, mean −.4
    assert advantages(dast, [0, 0, 0], [100, 400, 600], max_length=500) == [-0.42, 0.12, 0.3]


def test_a_right_answer_keeps_a_tenth(advantages):
    # Budget 1000 / 4 = 250 of right answers only; λ = −.6, −.6, −.6, 1.8 → r = .8, .8, .8, .1
    assert advantages(dast, [1, 1, 1, 1], [100, 100, 100, 700], max_length=900) == [0.175, 0.175, 0.175, -0.525]
