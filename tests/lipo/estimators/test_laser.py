from lipo.estimators.laser import laser


def test_by_hand(advantages, statistics):
    # r = 1.5, 0, 1, 1
    assert advantages(laser, [1, 0, 1, 1], [100, 200, 300, 400], target_length=250) == [0.625, -0.875, 0.125, 0.125]
    assert statistics(laser, [1.0, 0, 1, 1], [100, 200, 300, 400], target_length=250)["boosted"] == 0.25


def test_target_is_inclusive_and_a_quarter_of_the_limit_by_default(advantages):
    assert advantages(laser, [1, 1], [100, 101], max_length=400) == [0.25, -0.25]
