from lipo.estimators.gr3 import gr3


def test_by_hand(advantages):
    # L / mean L = .4, .8, 1.2, 1.6 and r = .83333, 0, .625, .55556
    assert advantages(gr3, [1, 0, 1, 1], [100, 200, 300, 400], alpha=0.5) == [0.32986, -0.50347, 0.12153, 0.05208]
