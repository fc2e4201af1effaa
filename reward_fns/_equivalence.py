r"""Whether a mathematical answer is the same as the ground truth.

Structure is compared first (brackets, order, labels), then values: exact numbers, then formulas by their values at
fixed points. Only what neither can decide is handed to the symbolic check.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fractions import Fraction

from reward_fns._choice import names_another
from reward_fns._expression import Node, UnreadableError, is_arithmetic, parse_expression
from reward_fns._latex import compact
from reward_fns._quantity import Quantity, same_quantity
from reward_fns._reading import Formula, Group, Labelled, Matrix, Opaque, Reading, Relation, Several, Word, read
from reward_fns._sampling import proportional, same_formula
from reward_fns._units import Unit
from reward_fns._verdict import Status

Symbolic = Callable[[str, str], Status]
"""Compares two formulas by their LaTeX when nothing cheaper decides: ``(ground truth, answer) -> status``."""

MAX_SYMBOLIC = 8
"""Symbolic checks that one answer may cause."""

_OPTION = re.compile(r"\(?([A-J])\)?")
_CHOSEN = re.compile(r"(?:\(([A-J])\)\s*[.:)]?|([A-J])\s*[.:)])\s*(\S.*)", re.DOTALL)
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+")


class Comparison:
    """Compares one answer with one ground truth.

    Args:
        symbolic: Called at most :data:`MAX_SYMBOLIC` times, and no more once it has run out of time.
        unevaluated: Accept ``47+38`` where the ground truth is the plain number 85. Off by default: a policy would
            learn to repeat the question.
    """

    def __init__(self, symbolic: Symbolic, unevaluated: bool = False) -> None:
        self._symbolic, self._unevaluated = symbolic, unevaluated
        self._calls = 0
        self._trouble: Status | None = None

    def status(self, gold: str, answer: str) -> Status:
        """Compare two cleaned texts.

        Returns:
            ``EQUAL``; or why not: ``DIFFERENT``, ``UNPARSED`` where the answer cannot be read, or what kept the
            symbolic check from deciding.
        """
        if self._same(gold, answer):
            return Status.EQUAL
        if self._trouble is not None:
            return self._trouble
        return Status.UNPARSED if isinstance(read(answer), Opaque) else Status.DIFFERENT

    def _same(self, gold: str, answer: str) -> bool:
        if compact(gold) == compact(answer):
            return bool(gold)
        if (option := _OPTION.fullmatch(gold)) and (chosen := _CHOSEN.fullmatch(answer)):
            letter = chosen.group(1) or chosen.group(2)
            return option.group(1) == letter and not names_another(letter, chosen.group(3))
        left, right = read(gold), read(answer)
        if isinstance(left, Labelled) or isinstance(right, Labelled):
            return self._same_labelled(left, right, gold, answer)
        if isinstance(left, Word) or isinstance(right, Word):
            return left == right
        if isinstance(left, Matrix) or isinstance(right, Matrix):
            return self._same_matrix(left, right)
        if isinstance(left, Several) or isinstance(right, Several):
            return self._same_several(left, right, gold, answer)
        if isinstance(left, Group) or isinstance(right, Group):
            return self._same_group(left, right, gold, answer)
        if isinstance(left, Relation) or isinstance(right, Relation):
            return isinstance(left, Relation) and isinstance(right, Relation) and self._same_relation(left, right)
        return self._same_value(left, right, gold, answer)

    def _same_labelled(self, left: Reading, right: Reading, gold: str, answer: str) -> bool:
        if isinstance(left, Labelled) and isinstance(right, Labelled):
            if left.label == right.label and self._same(left.body, right.body):
                return True
            # x = 2y and y = x/2 are one equation, x < y and y > x one inequality.
            return self._same_relation(left.relation, right.relation)
        for labelled, other, is_gold in ((left, right, True), (right, left, False)):
            if isinstance(labelled, Labelled):
                if isinstance(other, Relation):
                    pair = (labelled.relation, other) if is_gold else (other, labelled.relation)
                    return self._same_relation(*pair)
                return self._same(labelled.body, answer) if is_gold else self._same(gold, labelled.body)
        return False

    def _same_matrix(self, left: Reading, right: Reading) -> bool:
        if isinstance(left, Matrix) and isinstance(right, Matrix):
            return len(left.rows) == len(right.rows) and all(map(self._same_sequence, left.rows, right.rows))
        matrix, other = (left, right) if isinstance(left, Matrix) else (right, left)
        if not (isinstance(matrix, Matrix) and isinstance(other, Group) and other.brackets == "()"):
            return False
        # A matrix of one row or one column is the vector (a, b, c).
        if 1 not in (len(matrix.rows), len(matrix.rows[0])):
            return False
        vector = [cell for row in matrix.rows for cell in row]
        return self._same_sequence(*((vector, other.items) if matrix is left else (other.items, vector)))

    def _same_several(self, left: Reading, right: Reading, gold: str, answer: str) -> bool:
        if isinstance(left, Several) and isinstance(right, Several):
            if left.union != right.union and not (_intervals(left) and _intervals(right)):
                return False
            return self._same_items(left.items, right.items)
        several, other, text = (left, right, answer) if isinstance(left, Several) else (right, left, gold)
        if not isinstance(several, Several) or several.union:
            return False
        items: Sequence[str]
        if isinstance(other, Group) and other.brackets == "{}":
            items = other.items
        elif isinstance(other, Group) and other.brackets == "()":
            # x = 4, y = -1 is the point (4, -1).
            named = sorted(several.items) if len(_labels(several.items)) == len(several.items) else []
            return self._same_sequence(*((named, other.items) if several is left else (other.items, named)))
        elif isinstance(other, Quantity) and _THOUSANDS.fullmatch(text):
            # 100,200,300 may be one number or three.
            items = text.split(",")
        else:
            return False
        return self._same_items(*((several.items, items) if several is left else (items, several.items)))

    def _same_group(self, left: Reading, right: Reading, gold: str, answer: str) -> bool:
        if isinstance(left, Group) and isinstance(right, Group):
            if left.brackets != right.brackets:
                return False
            compare = self._same_items if left.brackets == "{}" else self._same_sequence
            return compare(left.items, right.items)
        # {5} is the only solution 5.
        if isinstance(left, Group) and left.brackets == "{}" and len(left.items) == 1:
            return self._same(left.items[0], answer)
        if isinstance(right, Group) and right.brackets == "{}" and len(right.items) == 1:
            return self._same(gold, right.items[0])
        return False

    def _same_sequence(self, gold: Sequence[str], answer: Sequence[str]) -> bool:
        return len(gold) == len(answer) and all(map(self._same, gold, answer))

    def _same_items(self, gold: Sequence[str], answer: Sequence[str]) -> bool:
        """Match items in any order, each once; in order where only one side names them (a = 1, b = 2)."""
        if len(gold) != len(answer):
            return False
        labels = [_labels(gold), _labels(answer)]
        if (len(labels[0]) > 1) != (len(labels[1]) > 1):
            return not min(labels, key=len) and self._same_sequence(gold, answer)
        left = list(answer)
        for item in gold:
            found = next((i for i, candidate in enumerate(left) if self._same(item, candidate)), None)
            if found is None:
                return False
            del left[found]
        return True

    def _same_relation(self, left: Relation | None, right: Relation | None) -> bool:
        if left is None or right is None or left.sign != right.sign:
            return False
        try:
            gold = [parse_expression(side) for side in (left.left, left.right)]
            answer = [parse_expression(side) for side in (right.left, right.right)]
        except UnreadableError:
            return self._same_sequence((left.left, left.right), (right.left, right.right))
        return bool(proportional(("subtract", *gold), ("subtract", *answer), same_sign=left.sign not in ("=", "\\ne")))

    def _same_value(self, left: Reading, right: Reading, gold: str, answer: str) -> bool:
        if isinstance(left, Quantity) and isinstance(right, Quantity):
            return same_quantity(left, right)
        if isinstance(left, Quantity) and "^" not in gold and not self._unevaluated and not _closed_form(left, right):
            return False
        if isinstance(left, (Quantity, Formula)) and isinstance(right, (Quantity, Formula)):
            scale = _conversion(left.unit, right.unit)
            if scale is None:
                return False
            a, b = _node(left), _node(right)
            decision = same_formula(a, ("multiply", b, ("number", scale)) if scale != 1 else b)
            if decision is False and _is_angle(left.unit) != _is_angle(right.unit):
                # 30° is also the plain number pi/6.
                turned = (_in_radians(a), b) if _is_angle(left.unit) else (a, _in_radians(b))
                decision = same_formula(*turned)
            if decision is not None:
                return decision
        return self._ask(gold, answer)

    def _ask(self, gold: str, answer: str) -> bool:
        if self._trouble is Status.TIMEOUT or self._calls >= MAX_SYMBOLIC:
            return False
        self._calls += 1
        status = self._symbolic(gold, answer)
        if status not in (Status.EQUAL, Status.DIFFERENT):
            self._trouble = status
        return status is Status.EQUAL


def _closed_form(gold: Quantity, answer: Reading) -> bool:
    """A plain number must be computed; only a decimal may stand for a closed form, such as a root."""
    return bool(gold.step) and isinstance(answer, Formula) and not is_arithmetic(answer.node)


def _node(reading: Quantity | Formula) -> Node:
    if isinstance(reading, Formula):
        return reading.node
    value = reading.value / 100 if reading.percent else reading.value
    return ("number", value, reading.step) if reading.step else ("number", value)


def _is_angle(unit: Unit | None) -> bool:
    return unit is not None and unit.dimension == (("angle", 1),)


def _in_radians(node: Node) -> Node:
    return ("multiply", node, ("degree",))


def _conversion(gold: Unit | None, answer: Unit | None) -> Fraction | None:
    """Factor from the answer's unit to the ground truth's; ``None`` if they are of different kinds."""
    if not (gold and gold.dimension and answer and answer.dimension):
        return Fraction(1)
    return answer.factor / gold.factor if gold.dimension == answer.dimension else None


def _labels(items: Sequence[str]) -> set[str]:
    return {reading.label for reading in map(read, items) if isinstance(reading, Labelled)}


def _intervals(several: Several) -> bool:
    """Whether the items are intervals, or inequalities that say so."""
    for item in several.items:
        reading = read(item)
        if isinstance(reading, Labelled) and (reading.relation is None or reading.relation.sign != "="):
            reading = read(reading.body)
        if not isinstance(reading, Group):
            return False
    return True
