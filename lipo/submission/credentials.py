"""Keeps tokens out of jobs: whatever a job carries, Ray's dashboard and logs show to everyone who reaches them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from lipo.common import LipoError

# Also inside a word, as in PGPASSWORD and NGROK_AUTHTOKEN; but a tokenizer is no token.
_SECRET_NAME = re.compile(
    r"TOKEN(?!I[SZ])|SECRET|PASSWORD|PASSWD|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE", re.IGNORECASE
)
_SHORTEST = 8
_PASSWORD_IN_URL = re.compile(r"\w+://[^/\s:@]+:[^/\s@]+@")


def refuse_secrets(words: Sequence[str], variables: Mapping[str, str], environment: Mapping[str, str]) -> None:
    """Refuse a job that would show a secret.

    Args:
        words: The command line.
        variables: Environment variables to be sent.
        environment: This process's; values of its variables that are named like secrets must not be among the words.

    Raises:
        LipoError: A variable is named like a secret, a value equals one, or a URL has a password. The message names
            the variable, never the value.
    """
    fix = "set it in the environment of the cluster's nodes, and name it with --secret"
    for name in variables:
        if _SECRET_NAME.search(name):
            raise LipoError(f"--env {name} would be readable in the job's metadata", fix)
    known = {
        name: value for name, value in environment.items() if _SECRET_NAME.search(name) and len(value) >= _SHORTEST
    }
    for text in (*words, *variables.values()):
        for name, value in known.items():
            if value in text:
                raise LipoError(f"the value of ${name} is in the command line or an --env", fix)
        if _PASSWORD_IN_URL.search(text):
            raise LipoError("a URL with a password is in the command line or an --env", fix)
