from lipo.estimators.l1_max import l1_max


def test_by_hand(advantages):
    # Shares .8, .6, .4, .2 and r = .8, 0, .4, .2
    assert advantages(l1_max, [1, 0, 1, 1], [100, 200, 300, 400], target_length=250, alpha=0.002) == [
        0.45,
        -0.35,
        0.05,
        -0.15,
    ]


def test_share_is_clipped(advantages):
    # Shares 2 → 1, 1, 0, −1 → 0
    assert advantages(l1_max, [1, 1, 1, 1], [100, 200, 300, 400], target_length=250, alpha=0.01) == [
        0.5,
        0.5,
        -0.5,
        -0.5,
    ]
