"""The table of merge methods: a decorated function and its options dataclass are all a new method needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from torch import Tensor

from lipo.common import LipoError, parse
from lipo.common.config import nearest

Function = TypeVar("Function", bound=Callable[..., tuple[Tensor, dict[str, Any]]])


# Reading and writing one float32 in memory takes a core about as long as this many operations of a matrix product.
PASS = 40.0


@dataclass(frozen=True)
class Effort:
    """What one tensor costs a method: floating-point operations (or their like), and bytes of memory at the peak."""

    flops: float
    memory: int


def elementwise_effort(shape: Sequence[int], experts: int, options: object) -> Effort:
    """Cost of a pass over the base and ``experts`` tensors with a few float32 copies of each."""
    numel = _numel(shape)
    return Effort(flops=PASS * (experts + 2) * numel, memory=4 * numel * (4 * experts + 6))


def _numel(shape: Sequence[int]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total


@dataclass(frozen=True)
class Method:
    """One registered merge method.

    Attributes:
        name: What recipes call it.
        options: Its options dataclass; every one has ``scale``.
        function: ``(base, experts, options) -> (merged, log)`` on tensors of one shape, float32 or wider.
        matrices_only: Defined for the weight matrices of linear layers; other parameters are averaged.
        combine: For elementwise methods, where each output element depends only on the same element of the inputs, so
            that a tensor goes through in blocks that fit a core's cache: ``(vectors, options) -> merged vector`` on
            task vectors of shape (n, …), which it leaves as they are. Odd: −τ_i give the negative result.
        effort: Cost of one tensor of a shape with so many experts; orders and bounds the work.
        prepare: For elementwise methods that need to see the whole tensor first: maps a function that gives the task
            vectors, of either sign, in blocks of shape (n, …), anew each time it is called, and the options to keyword
            arguments of ``function`` and ``combine``. A block is overwritten when the next one is taken.
        seeded: ``function`` and ``combine`` take a keyword argument ``seed``, different for every tensor and block.
    """

    name: str
    options: type[Any]
    function: Callable[..., tuple[Tensor, dict[str, Any]]]
    matrices_only: bool
    combine: Callable[..., Tensor] | None
    effort: Callable[[Sequence[int], int, Any], Effort]
    prepare: Callable[[Callable[[], Iterable[Tensor]], Any], dict[str, Any]] | None
    seeded: bool

    @property
    def elementwise(self) -> bool:
        """Whether the method works on parts of a tensor."""
        return self.combine is not None

    @property
    def summary(self) -> str:
        """First line of the method's docstring."""
        return (self.function.__doc__ or "").strip().splitlines()[0]

    def parse_options(self, values: Mapping[str, Any], where: str) -> Any:
        """Check ``values`` against the options dataclass; unknown keys are errors."""
        return parse(self.options, values, where)


_METHODS: dict[str, Method] = {}


def method(
    name: str,
    *,
    options: type[Any],
    matrices_only: bool = False,
    combine: Callable[..., Tensor] | None = None,
    effort: Callable[[Sequence[int], int, Any], Effort] = elementwise_effort,
    prepare: Callable[[Callable[[], Iterable[Tensor]], Any], dict[str, Any]] | None = None,
    seeded: bool = False,
) -> Callable[[Function], Function]:
    """Register the decorated function as the merge method ``name``; see :class:`Method` for the arguments."""

    def register(function: Function) -> Function:
        _METHODS[name] = Method(name, options, function, matrices_only, combine, effort, prepare, seeded)
        return function

    return register


def get_method(name: str) -> Method:
    """Look a method up.

    Raises:
        LipoError: No method has this name.
    """
    if name not in _METHODS:
        raise LipoError(f"unknown merge method '{name}'", nearest(name, list(_METHODS)))
    return _METHODS[name]


def method_names() -> list[str]:
    """Names of all methods, sorted."""
    return sorted(_METHODS)
