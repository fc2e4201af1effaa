"""A command as a job of a Ray cluster: what is sent, what is left out, and that no secret is among it."""

from lipo.submission.credentials import refuse_secrets
from lipo.submission.job import COMMANDS, SENT, Job, build_job, command_for
from lipo.submission.working_dir import EXCLUDES, check_size

__all__ = ["COMMANDS", "EXCLUDES", "SENT", "Job", "build_job", "check_size", "command_for", "refuse_secrets"]
