import doctest
import os
import subprocess
import sys
import time

import pytest

from lipo.common import interrupts

# Interrupted twice in places whose exceptions Python drops: a weak reference's callback, then a __del__.
DROPPED = """
import os, signal, time, weakref
from lipo.common.interrupts import deliver_interrupts

class Thing:
    pass

class Last:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)

def interrupt(reference):
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.01)

{start}
thing = Thing()
reference = weakref.ref(thing, interrupt)
try:
    {drop}
    time.sleep({seconds})
    print("went on")
except KeyboardInterrupt:
    print("interrupted")
"""


def outcome(start, drop, seconds):
    code = DROPPED.format(start=start, drop=drop, seconds=seconds)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)


@pytest.mark.parametrize("drop", ["del thing", "Last()"])
def test_an_interrupt_that_python_drops_arrives_all_the_same(drop):
    start = time.monotonic()
    done = outcome("deliver_interrupts()", drop, 30)
    assert (done.stdout, done.stderr) == ("interrupted\n", "")
    assert time.monotonic() - start < 25
    # Without it the program goes on: the reason for all this.
    assert outcome("", drop, 0.2).stdout == "went on\n"


def test_other_dropped_exceptions_are_still_reported():
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from lipo.common.interrupts import deliver_interrupts\n"
            "deliver_interrupts()\n"
            "class Thing:\n    def __del__(self):\n        raise ValueError('told')\n"
            "Thing()",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env=os.environ,
    )
    assert "ValueError: told" in done.stderr


def test_example():
    assert doctest.testmod(interrupts).failed == 0
