from types import SimpleNamespace

import pytest

from lipo.cli import submit
from lipo.common import LipoError

JOB = SimpleNamespace(entrypoint="lipo merge x.yaml", runtime_env={}, metadata={})


class Head:
    """A dashboard that refuses so many jobs before it takes one."""

    def __init__(self, refusals, reason):
        self.refusals, self.reason, self.taken = refusals, reason, []

    def submit_job(self, **job):
        if self.refusals:
            self.refusals -= 1
            raise RuntimeError(f"Request failed with status code 500: {self.reason}")
        self.taken.append(job["submission_id"])


def test_a_head_that_is_still_starting_is_waited_for(monkeypatch):
    monkeypatch.setattr(submit, "_POLL_SECONDS", 0.01)
    head = Head(3, "No available agent to submit job, please try again later..")
    submit._send(head, JOB, "a")
    assert head.taken == ["a"]


@pytest.mark.parametrize("reason", ["No available agent to submit job", "disk full"])
def test_a_refusal_is_one_message(monkeypatch, reason):
    monkeypatch.setattr(submit, "_POLL_SECONDS", 0.01)
    monkeypatch.setattr(submit, "_AGENT_SECONDS", 0.05)
    with pytest.raises(LipoError, match=reason):
        submit._send(Head(10**6, reason), JOB, "a")
