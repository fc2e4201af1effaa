from lipo.estimators.cosine_length import cosine_length


def test_by_hand(advantages):
    # r = 1.85355, −5, 1.14645, and −10 at the limit
    assert advantages(cosine_length, [1, 0, 1, 1], [100, 200, 300, 400], max_length=400) == [4.85355, -2, 4.14645, -7]


def test_a_long_wrong_answer_gets_more_than_a_short_one(advantages):
    # r = −10 · (.85355, .5, .14645), mean −5
    assert advantages(cosine_length, [0, 0, 0], [100, 200, 300], max_length=400) == [-3.53553, 0, 3.53553]
