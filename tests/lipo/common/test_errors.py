import pickle

from lipo.common import LipoError


def test_message_joins_what_and_fix():
    error = LipoError("no model at ./base", "create it")
    assert (error.what, error.fix, str(error)) == ("no model at ./base", "create it", "no model at ./base; create it")


def test_survives_the_way_between_processes():
    error = pickle.loads(pickle.dumps(LipoError("what", "fix")))
    assert isinstance(error, LipoError)
    assert (error.what, error.fix) == ("what", "fix")
