r"""Find the final answer: the last balanced ``\boxed{}``, the last ``<answer>`` tag, or the last line."""

from __future__ import annotations

import re

from reward_fns._options import RewardOptions

BOX = "\\boxed{"
_BOX_OR_BRACE = re.compile(r"\\boxed\{|\\.|[{}]", re.DOTALL)
_MAX_NESTED_BOXES = 4
# End-of-turn tokens such as <|im_end|> or </s> stay in the text when it was decoded with special tokens.
_END_TOKEN = re.compile(r"(?:<\|[a-zA-Z_]{1,32}\|>|</s>)\Z")
_MAX_TOKEN_CHARS = 40
_LEAD = re.compile(
    r"[-*#> ]*(?:(?:therefore|so|thus|hence),? )?(?:the )?(?:correct |final )?(?:answer|result)(?: is)?(?: ?[:=])? *",
    re.IGNORECASE,
)


def strip_end_tokens(response: str) -> str:
    """Drop trailing special tokens and white space."""
    response = response.rstrip()
    while response.endswith(">"):
        match = _END_TOKEN.search(response, max(0, len(response) - _MAX_TOKEN_CHARS))
        if match is None:
            break
        response = response[: match.start()].rstrip()
    return response


def last_box(text: str) -> tuple[int, int] | None:
    r"""Locate the content of the ``\boxed{}`` that closes last; escaped braces do not count.

    Takes time linear in the text, however many boxes it opens.

    Returns:
        ``(first, last + 1)``, or ``None`` where no box is ever closed.

    Example:
        >>> last_box("\\boxed{1} or \\boxed{2")
        (7, 8)
    """
    position = text.find(BOX)
    if position < 0:
        return None
    opened: list[int] = []
    content = None
    for match in _BOX_OR_BRACE.finditer(text, position):
        symbol = match.group()
        if symbol == BOX:
            opened.append(match.end())
        elif symbol == "{":
            opened.append(-1)
        elif symbol == "}" and opened:
            first = opened.pop()
            if first >= 0:
                content = first, match.start()
    return content


def answer_section(response: str, tag: str) -> str | None:
    """Return what follows the last closing tag, or a response that never thinks, or ``None`` if it still thinks."""
    opening, closing = f"<{tag}>", f"</{tag}>"
    section = response[response.rfind(closing) + len(closing) :] if tag and closing in response else response
    return None if tag and opening in section else section


def _boxed(section: str) -> str | None:
    span = last_box(section)
    if span is None:
        return None
    content = section[span[0] : span[1]].strip()
    for _ in range(_MAX_NESTED_BOXES):
        inner = last_box(content) if content.startswith(BOX) else None
        if inner is None or inner != (len(BOX), len(content) - 1):
            break
        content = content[inner[0] : inner[1]].strip()
    return content


def _tagged(section: str) -> str | None:
    end = section.rfind("</answer>")
    start = section.rfind("<answer>", 0, end) if end >= 0 else -1
    if start < 0:
        return None
    content = section[start + len("<answer>") : end].strip()
    boxed = _boxed(content)
    return content if boxed is None else boxed


def _last_line(section: str) -> str | None:
    section = strip_end_tokens(section)
    line = section[section.rfind("\n") + 1 :].strip()
    return line[match.end() :] if (match := _LEAD.match(line)) else line


def extract_answer(response: str, options: RewardOptions | None = None) -> str | None:
    r"""Extract the final answer of a response.

    Only what follows the reasoning is searched; while the reasoning is not closed there is no answer.

    Args:
        response: Decoded text of the policy; hostile.
        options: ``think_tag`` and ``answer_style`` are used.

    Returns:
        The answer, stripped; ``None`` where there is none.

    Example:
        >>> extract_answer("<think>8+5=13</think>It is \\boxed{13}.")
        '13'
    """
    options = options or RewardOptions()
    section = answer_section(response, options.think_tag)
    if section is None:
        return None
    if options.answer_style == "tag":
        answer = _tagged(section)
    else:
        answer = _boxed(section)
        if answer is None and options.answer_style == "plain":
            answer = _tagged(section)
            answer = _last_line(section) if answer is None else answer
    return answer or None
