r"""The response format: reasoning in tags, then one answer, and nothing smuggled in around them."""

from __future__ import annotations

import re

from reward_fns._extract import last_box, strip_end_tokens
from reward_fns._options import RewardOptions

# What a sentence or a formula may close with after the box.
_CLOSING = re.compile(r"(?:[\s.$*)]|\\[)\]])*\Z")


def follows_format(response: str, options: RewardOptions | None = None) -> bool:
    r"""Test the format; trailing end-of-turn tokens and white space are tolerated.

    Required: the response begins with ``<think>``; exactly one ``<think>`` and one ``</think>``, with something
    between them; after it exactly one answer: a balanced ``\boxed{}`` that is not empty (style ``boxed``), an
    ``<answer>`` tag (``tag``) or any text (``plain``); after the answer only closing punctuation.

    Args:
        response: Decoded text of the policy; hostile.
        options: ``think_tag`` and ``answer_style`` are used.

    Example:
        >>> follows_format("<think>8+5=13</think>It is \\boxed{13}.<|im_end|>")
        True
    """
    options = options or RewardOptions()
    answer = strip_end_tokens(response).lstrip()
    if options.think_tag:
        opening, closing = f"<{options.think_tag}>", f"</{options.think_tag}>"
        if not answer.startswith(opening) or answer.count(opening) != 1 or answer.count(closing) != 1:
            return False
        thought, _, answer = answer[len(opening) :].partition(closing)
        if not thought.strip():
            return False
    boxes = answer.count("\\boxed")
    if options.answer_style == "plain":
        return bool(answer.strip()) and boxes <= 1
    if options.answer_style == "tag":
        if answer.count("<answer>") != 1 or answer.count("</answer>") != 1 or boxes > 1:
            return False
        before, _, rest = answer.partition("<answer>")
        content, closed, after = rest.partition("</answer>")
        return bool(closed and content.strip() and not before.strip() and not after.strip())
    span = last_box(answer) if boxes == 1 else None
    if span is None or not answer[span[0] : span[1]].strip():
        return False
    return _CLOSING.match(answer, span[1] + 1) is not None
