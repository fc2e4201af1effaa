from lipo.estimators.soft_overlong import soft_overlong


def test_by_hand(advantages):
    # A fifth of 500 is 100: p = 0, −.2, −.5, −1 and r = 1, −.2, .5, 0
    assert advantages(soft_overlong, [1, 0, 1, 1], [100, 420, 450, 600], max_length=500) == [
        0.675,
        -0.525,
        0.175,
        -0.325,
    ]


def test_buffer_and_weight(advantages):
    # p = 0, −.5 and r = 1, 0
    assert advantages(soft_overlong, [1, 1], [300, 400], max_length=500, buffer_length=200, weight=2) == [0.5, -0.5]
