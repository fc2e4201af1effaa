"""Splits a response's tokens into reasoning and answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

OPENING, CLOSING = "<think>", "</think>"


def count_reasoning(tokens: Sequence[int], decode: Callable[[list[int]], str], opened: bool) -> int:
    """Count the tokens of the reasoning: up to and including the one that completes the last ``</think>``.

    All of them where reasoning was opened and never closed, as in a truncated response; none without any tag. Exact
    for every tokenizer, whether the tags are tokens of their own or not: it looks for the shortest run of the
    response's own tokens whose text has the tag, in log₂(n) decodings.

    Args:
        tokens: Of the response.
        decode: Text of tokens, special ones included.
        opened: Whether the prompt ended with ``<think>``.

    Returns:
        0 ≤ count ≤ ``len(tokens)``.

    Example:
        >>> count_reasoning(b"<think>a</think>b", lambda t: bytes(t).decode(), opened=False)
        16
    """
    text = decode(list(tokens))
    if OPENING in text[text.rfind(CLOSING) + 1 :] or (opened and CLOSING not in text):
        return len(tokens)
    closings = text.count(CLOSING)
    if not closings:
        return 0
    low, high = 1, len(tokens)
    while low < high:
        middle = (low + high) // 2
        if decode(list(tokens[:middle])).count(CLOSING) < closings:
            low = middle + 1
        else:
            high = middle
    return low
