r"""Reduce the many LaTeX and Unicode spellings of a formula to one, keeping its meaning."""

from __future__ import annotations

import functools
import re

from reward_fns._text import clean_characters

GREEK_NAMES = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi "
    "omega Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega"
)
_GREEK = dict(zip("αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΦΨΩ", GREEK_NAMES.split(), strict=True))
_VULGAR = {"½": "12", "⅓": "13", "⅔": "23", "¼": "14", "¾": "34", "⅕": "15", "⅖": "25", "⅗": "35", "⅘": "45"}
_VULGAR |= {"⅙": "16", "⅚": "56", "⅛": "18", "⅜": "38", "⅝": "58", "⅞": "78"}
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n")
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_UNICODE = str.maketrans(
    {
        **{letter: f"\\{name} " for letter, name in _GREEK.items()},
        **{sign: f"\\frac{{{digits[0]}}}{{{digits[1]}}}" for sign, digits in _VULGAR.items()},
        "×": "\\times ",
        "⋅": "\\cdot ",
        "·": "\\cdot ",
        "∙": "\\cdot ",
        "•": "\\cdot ",
        "∗": "*",
        "÷": "\\div ",
        "±": "\\pm ",
        "∓": "\\mp ",
        "∞": "\\infty ",
        "≤": "\\le ",
        "≥": "\\ge ",
        "⩽": "\\le ",
        "⩾": "\\ge ",
        "≠": "\\ne ",
        "≈": "\\approx ",
        "∪": "\\cup ",
        "∩": "\\cap ",
        "∈": "\\in ",
        "∅": "\\emptyset ",
        "ℝ": "\\mathbb{R}",
        "°": "^\\circ ",
        "º": "^\\circ ",
        "℃": "^\\circ C",
        "℉": "^\\circ F",
        "∠": "\\angle ",
        "△": "\\triangle ",
        "⟨": "\\langle ",
        "⟩": "\\rangle ",
        "ℯ": "e",
        "ϕ": "\\phi ",
        "µ": "\\mu ",
        "㎝": "cm",
        "㎜": "mm",
        "㎞": "km",
        "㎏": "kg",
        "㎡": "m^{2}",
    }
)
_RAISED = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ]+")
_LOWERED = re.compile("[₀₁₂₃₄₅₆₇₈₉]+")
_ROOT = re.compile(r"√\s*(?:\(([^()]*)\)|\{([^{}]*)\}|(\d+(?:\.\d+)?|[a-zA-Z]|\\[a-zA-Z]+))")

_SIZES = re.compile(r"\\(?:left|right|middle|[bB]igg?[lrm]?|displaystyle|textstyle|limits|mathstrut)(?![a-zA-Z])\.?")
_SPACES = re.compile(
    r"(?<!\\)\\[,;:! ]|\\q?quad(?![a-zA-Z])|~|\\(?:thin|med|thick)space(?![a-zA-Z])|\\hspace\{[^{}]*\}|\s+"
)
_DELIMITERS = re.compile(r"(?<!\\)(?:\\[()\[\]]|\$)")
_FONTS = "mathrm mathbf mathit mathsf mathtt textbf textit textrm textsf texttt textnormal mbox operatorname rm bm emph"
_RENAMED = {
    **dict.fromkeys(("dfrac", "tfrac", "cfrac"), "frac"),
    **dict.fromkeys(_FONTS.split(), "text"),
    "boldsymbol": "text",
    "leq": "le",
    "leqslant": "le",
    "geq": "ge",
    "geqslant": "ge",
    "neq": "ne",
    "degree": "circ",
    "lbrace": "{",
    "rbrace": "}",
    "lbrack": "[",
    "rbrack": "]",
    "lvert": "vert",
    "rvert": "vert",
    "varnothing": "emptyset",
    "to": "rightarrow",
    "infin": "infty",
    "land": "wedge",
    "varphi": "phi",
    "vartheta": "theta",
    "varepsilon": "epsilon",
    "ast": "*",
}
_COMMAND = re.compile(r"\\([a-zA-Z]+)\*?")
_DEGREE = re.compile(r"\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![a-zA-Z]))")
_NAMES = re.compile(
    r"(?<![\\a-zA-Z])(?:(sqrt|pi|infinity|infty|inf|theta|alpha|beta|arcsin|arccos|arctan|sinh|cosh|tanh|sin|cos|tan|csc"
    # A lone sec is a second, not a secant.
    r"|cot|ln|log|exp)(?![a-zA-Z])|(sec)(?=\s*[(\\]))"
)
_LOOSE_SPACE = re.compile(r"(?<!\\)(?<!\d)\s+|(?<=\d)\s+(?!\d)")
_ARRAY = re.compile(r"([\[(]?)\s*\\begin\s*\{array\}\s*\{[^{}]*\}(.*?)\\end\s*\{array\}\s*[\])]?", re.DOTALL)
_EMPTY_TEXT = re.compile(r"\\text\s*\{[\s.,;]*\}")
_WRAPPED = re.compile(
    r"\\text\s*\{(?P<text>[^{}\\]*)\}|\{(?P<braces>[^{}\\]*)\}|\"(?P<quotes>[^\"]*)\"|'(?P<single>[^']*)'"
)
_CLOSING = ".,;:。"


def _rename(match: re.Match[str]) -> str:
    name = match.group(1)
    new = _RENAMED.get(name)
    if new is None:
        return match.group()
    return new if new == "*" or new in "[]" else f"\\{new}"


def _from_unicode(text: str) -> str:
    text = _ROOT.sub(lambda m: f"\\sqrt{{{next(g for g in m.groups() if g is not None)}}}", text)
    text = _RAISED.sub(lambda m: f"^{{{m.group().translate(_SUPERSCRIPTS)}}}", text)
    text = _LOWERED.sub(lambda m: f"_{{{m.group().translate(_SUBSCRIPTS)}}}", text)
    return text.translate(_UNICODE)


def without_stop(text: str) -> str:
    """Drop one closing mark, as a sentence has; an ellipsis stays, as it says that the number goes on."""
    return text[:-1].rstrip() if text.endswith(tuple(_CLOSING)) and not text.endswith("..") else text


@functools.lru_cache(maxsize=4096)
def clean_latex(text: str) -> str | None:
    r"""Normalise a formula or a short text.

    Math delimiters, sizes and spacing commands go; font commands become ``\text``; Unicode signs become LaTeX; plain
    function names such as ``sqrt`` and ``pi`` become commands; closing punctuation goes; ``\text{…}``, braces or
    quotes around all of it are unwrapped. A dollar sign that opens no formula stays as the currency ``\$``.

    Args:
        text: Final answer or ground truth; hostile.

    Returns:
        The normal form, or ``None`` for text with forbidden characters.

    Example:
        >>> clean_latex("$\\left( \\dfrac{1}{2},\\,√3 \\right)$")
        '( \\frac{1}{2}, \\sqrt{3} )'
    """
    cleaned = clean_characters(text)
    if cleaned is None:
        return None
    text = cleaned
    if not text.isascii():
        text = _from_unicode(text)
    if "$" in text:
        text = re.sub(r"\A\s*([+-]?)\s*(?:US)?\$(?=\s*[\d.])(?!.*\$)", r"\1\\$", text, flags=re.DOTALL)
    if "\\" in text or "$" in text or "~" in text:
        text = _DELIMITERS.sub(" ", text)
        text = _SIZES.sub("", text)
        text = _COMMAND.sub(_rename, text)
        text = text.replace("\\%", "%").replace("\\#", "#").replace("\\_", "_").replace("\\&", "&").replace("{,}", ",")
        if "{array}" in text:
            text = _ARRAY.sub(r"\\begin{pmatrix}\2\\end{pmatrix}", text)
        text = _DEGREE.sub("^\\\\circ", text)
    if "**" in text:
        bold = len(text) > 4 and text.startswith("**") and text.endswith("**")
        text = text[2:-2] if bold else text.replace("**", "^")
    text = _NAMES.sub(lambda m: "\\infty" if m.group().startswith("inf") else f"\\{m.group()}", text)
    text = without_stop(_SPACES.sub(" ", _EMPTY_TEXT.sub("", text)).strip())
    whole = _WRAPPED.fullmatch(text)
    return without_stop(whole.group(whole.lastgroup or 0).strip()) if whole else text


def compact(text: str) -> str:
    r"""Remove all spaces but those between two digits, for comparing formulas as text.

    Example:
        >>> compact("2 x + 1"), compact("1 1/2")
        ('2x+1', '1 1/2')
    """
    return _LOOSE_SPACE.sub("", text) if " " in text else text
