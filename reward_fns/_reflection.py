"""Reflection, the "aha moment": a self-correction in the reasoning that changes the answer under consideration.

A phrase such as "wait" proves nothing: most of them repeat what was said before. Counted is a phrase behind which a
claim differs from the same claim before it: another option, another number, or the same sentence with another word.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from difflib import SequenceMatcher

_MAX_CHARS = 100_000
_MAX_CLAUSES = 400
_MAX_WORDS = 40
"""Longer sentences are not compared."""
_ALIKE = 0.5
"""Share of words that two sentences have in common where one restates the other."""

# Where a remark to oneself can begin: at the start of a clause.
_START = r"(?:(?<![\w'])(?:but|oh|no|and|or|hmm|hm|so)[, ]+|(?<=[.!?;:,(\n…—-])\s{0,3}|\A\s{0,9})"
_REMARKS = (
    r"wait(?!\s+(?:for|until|till|to|in|at|on)\b)",
    r"(?:hold|hang) on(?!\s+(?:to|tight\w*|for|with)\b)",
    r"h+m+\b",
    r"oops",
    r"sorry",
    r"no(?=[,.:!])",
    r"but no\b",
    r"not (?:quite|so fast|right)\b",
    r"correction(?=\s*[:,.])",
    r"actually",
    r"then again",
    r"scratch that",
    r"my (?:mistake|bad)",
    r"on (?:second thoughts?|reflection|(?:a )?closer (?:look|inspection))",
    r"(?:re-?(?:reading|considering|examining|checking|counting|thinking)|looking (?:closer|again|more closely))",
    r"looking\b[^.]{0,40}\bagain",
    r"(?:zooming in|listening|watching|checking|thinking about it|(?:re-?)(?:watching|winding|checking))\b",
    r"(?:but|however)\b",
    r"i (?:should|could) not have",
    r"i (?:had )?(?:misread|miscounted|misjudged|mistook|forgot|overlooked|missed|swapped|confused)",
    r"i (?:have|had) (?:not|forgotten)\b",
)
_ANYWHERE = (
    r"let me (?:re-?|double|check|verify|look (?:again|closer)|count again|think again|try again|make sure|see again)",
    r"i (?:made|see) (?:a|my|the) (?:mistake|error)",
    r"i was (?:wrong|mistaken)(?![\w-])",
    r"(?:that|this|it)(?:'s| is| was| can't be| cannot be| can not be| isn't| is not| doesn't| does not)"
    r" (?:wrong|incorrect|not right|not correct|not possible|right|seem right|work|fit|be right|be)\b(?= ?[,.:;!])",
    r"cannot be(?=[,.])",
)
_CUE = re.compile(rf"{_START}(?:{'|'.join(_REMARKS)})|(?<!\w)(?:{'|'.join(_ANYWHERE)})", re.IGNORECASE)
_TAG = re.compile(r"</?\w+>")
_QUOTED = re.compile(r"[\"“][^\"”\n]{0,300}[\"”]")

_CLAUSE = re.compile(
    r"(?:[^.;:!?\n,]|[.,:](?=\d)|(?<=answer): |,(?!\s*(?:so|therefore|thus|hence|but|which|because|since)\b))+",
    re.IGNORECASE,
)
_LETTER = re.compile(
    r"\(([A-J])\)|(?:\b[Oo]ption|\b[Cc]hoice|\b[Aa]nswer:?|\bis|\bbe|\b[Ss]o|\b[Tt]herefore|\b[Tt]hus|\bpick|\bchoose"
    r"|\bselect|\bleaves|\Aanswer)\s+([A-J])\b(?!(?<=A)\s+(?!because|since|as\b|seems|is\b|fits|instead|now)[a-z])"
)
_WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
_NUMBER = re.compile(
    rf"(?<![\w.])(?:-\s?)?\$?(\d[\d,]*(?:[.:/]\d+)*)\s?(%|percent|[a-z]{{1,3}}\b)?|\b({'|'.join(_WORDS)})\b",
    re.IGNORECASE,
)
_CLAIM = re.compile(
    r"=|\b(?:is|are|was|were|be|equals?|gets?|gives?|leaves?|comes? to|makes?|reads?|works|counts?|needs?|shows?"
    r"|arrives?|answer|total|so|possibly|probably|perhaps|maybe)\b",
    re.IGNORECASE,
)
_CALCULATION = re.compile(r"\s*[\d(]")
_CONCLUDES = re.compile(
    r"\s*(?:so|therefore|thus|hence|that|this|it|we|i|there|in total|including|the answer)\b", re.IGNORECASE
)
_POLARITY = re.compile(r"\s*(yes|no)\b|\banswer (?:is|must be|should be) [\"']?(yes|no)\b", re.IGNORECASE)
_SKIPPED = frozenset(
    (
        "so",
        "therefore",
        "thus",
        "hence",
        "but",
        "then",
        "and",
        "the",
        "a",
        "an",
        "first",
        "initially",
        "i",
        "think",
        "thought",
    )
)
_WORD = re.compile(r"[\w'/:.%$]*\w[%]?")


@dataclass(frozen=True, slots=True)
class Reflection:
    """A self-correction that changed the answer under consideration."""

    position: int
    """Where its phrase begins in the text."""
    phrase: str
    before: str
    """What was claimed before."""
    after: str
    """What is claimed instead."""


@dataclass
class _Claims:
    """The last claims of each kind."""

    letter: str | None = None
    polarity: str | None = None
    """``yes`` or ``no``."""
    numbers: list[tuple[str, str]] = field(default_factory=list)
    """(subject, value)."""
    sentences: list[tuple[str, ...]] = field(default_factory=list)


def _words(clause: str) -> tuple[str, ...]:
    return tuple(word for word in _WORD.findall(clause.casefold()) if word not in _SKIPPED)


def _subject(clause: str, end: int) -> str:
    words = [word for word in _words(clause[:end]) if word not in ("is", "are", "it", "we", "get", "that", "there")]
    return " ".join(words[:3])


def _number(match: re.Match[str]) -> str:
    if match.group(3):
        return str(_WORDS.index(match.group(3).lower()))
    percent = "%" if match.group(2) in ("%", "percent") else ""
    return ("-" if match.group().startswith("-") else "") + match.group(1).replace(",", "").rstrip(".:/") + percent


def _read(text: str) -> _Claims:
    claims = _Claims()
    for clause in _CLAUSE.findall(text)[-_MAX_CLAUSES:]:
        letter = None
        for letter in _LETTER.finditer(clause):
            claims.letter = letter.group(1) or letter.group(2)
        if letter is not None:
            continue
        if polarity := _POLARITY.match(clause) or _POLARITY.search(clause):
            claims.polarity = (polarity.group(1) or polarity.group(2)).lower()
        numbers = list(_NUMBER.finditer(clause))
        if numbers and _CLAIM.search(clause) and not _CALCULATION.match(clause) and " not " not in clause:
            subject = "" if _CONCLUDES.match(clause) else _subject(clause, numbers[-1].start())
            claims.numbers.append((subject, _number(numbers[-1])))
        words = _words(clause)
        if 2 <= len(words) <= _MAX_WORDS:
            claims.sentences.append(words)
    return claims


def _same_subject(one: str, other: str) -> bool:
    """The total is the invoice total; no subject is like no subject only."""
    words, others = set(one.split()), set(other.split())
    shared = words & others
    return words == others or (bool(shared) and shared in (words, others))


def _changed_number(before: _Claims, after: _Claims) -> tuple[str, str] | None:
    if not before.numbers or not after.numbers:
        return None
    subject, value = before.numbers[-1]
    same = [other for other in after.numbers if _same_subject(subject, other[0])]
    concluding = [other for other in after.numbers if not other[0]]
    found = same or concluding or (after.numbers if not subject else [])
    return (value, found[-1][1]) if found and found[-1][1] != value else None


def _changed_sentence(before: _Claims, after: _Claims) -> tuple[str, str] | None:
    """Find a sentence said again with another word at one of its ends."""
    for old in before.sentences[-1:-3:-1]:
        for new in reversed(after.sentences):
            if old == new:
                return None
            alike = SequenceMatcher(None, old, new, autojunk=False).ratio() >= _ALIKE
            one_end = (old[-1] != new[-1]) != (old[0] != new[0])
            restated = old[-1] != new[-1] and new[0] in ("it", "he", "she", "they")
            one_word = len(old) == len(new) and sum(a != b for a, b in zip(old, new, strict=True)) == 1
            if alike and (one_end or restated or one_word):
                return " ".join(old), " ".join(new)
    return None


def _changed(before: _Claims, after: _Claims) -> tuple[str, str] | None:
    if before.letter and after.letter:
        return (before.letter, after.letter) if before.letter != after.letter else None
    if before.polarity and after.polarity and before.polarity != after.polarity:
        return before.polarity, after.polarity
    return _changed_number(before, after) or (
        None if before.numbers and after.numbers else _changed_sentence(before, after)
    )


def find_reflections(text: str) -> list[Reflection]:
    """Find the self-corrections that change the answer under consideration.

    English only. Measured precision and recall are in ``docs/rewards.md``.

    Args:
        text: A response or its reasoning; hostile. Only the first 100,000 characters are read.

    Example:
        >>> find_reflections("So it is 75. Hmm, I forgot the carry. So it is 85.")[0].after
        '85'
        >>> find_reflections("So it is 85. Wait, let me check: 80+5=85. Yes, it is 85.")
        []
    """
    text = text[:_MAX_CHARS].replace("’", "'")
    # A tag ends a sentence.
    text = _TAG.sub(lambda tag: ".".ljust(len(tag.group())), text)
    # What somebody in the clip says is no remark of the model.
    cues = list(_CUE.finditer(_QUOTED.sub(lambda quoted: "_" * len(quoted.group()), text)))
    if not cues:
        return []
    ends = [*(cue.start() for cue in cues[1:]), len(text)]
    current, found = _read(text[: cues[0].start()]), []
    for cue, end in zip(cues, ends, strict=True):
        phrase = cue.group().strip(" .,;:\n")
        # "No" is a claim itself.
        segment = _read(text[cue.end() - 2 if phrase.lower() == "no" else cue.end() : end])
        if change := _changed(current, segment):
            found.append(Reflection(cue.start(), phrase, *change))
        current = _Claims(
            segment.letter or current.letter,
            segment.polarity or current.polarity,
            segment.numbers or current.numbers,
            segment.sentences or current.sentences,
        )
    return found
