"""Configuration from dataclasses: one definition gives parsing, checking, command-line help and reference docs."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import math
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from lipo.common.errors import LipoError

T = TypeVar("T")


def option(
    default: Any = dataclasses.MISSING,
    *,
    help: str,
    choices: Sequence[Any] | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    factory: Any = dataclasses.MISSING,
) -> Any:
    """Declare a dataclass field with its help text and its limits.

    Args:
        default: Value where the key is absent; without it (and without ``factory``) the key is required.
        help: One sentence for the command line and the reference docs.
        choices: The only values allowed.
        minimum: Smallest number allowed, inclusive.
        maximum: Largest number allowed, inclusive.
        factory: Makes a mutable default.

    Returns:
        A dataclass field.
    """
    meta = {"help": help, "choices": choices, "minimum": minimum, "maximum": maximum}
    if factory is not dataclasses.MISSING:
        return dataclasses.field(default_factory=factory, metadata=meta)
    return dataclasses.field(default=default, metadata=meta)


def nearest(name: str, known: Sequence[str]) -> str:
    """Phrase a hint: the known name most like ``name``, or all of them."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean '{close[0]}'?" if close else f"known: {', '.join(sorted(known))}"


def _type_name(kind: Any) -> str:
    name = str(getattr(kind, "__name__", kind)) if typing.get_origin(kind) is None else str(kind)
    return re.sub(r"\b(?:\w+\.)+(\w+)", r"\1", name)


def _convert(value: Any, kind: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        # Strings last: a number must not become text because str came first.
        members = sorted((a for a in arguments if a is not type(None)), key=lambda a: a is str)
        for member in members:
            try:
                return _convert(value, member, where)
            except LipoError:
                if member is members[-1]:
                    raise
    if origin is typing.Literal:
        if value not in arguments or isinstance(value, bool) != any(
            value is a for a in arguments if isinstance(a, bool)
        ):
            raise LipoError(f"{where} is {value!r}", f"use one of {', '.join(map(repr, arguments))}")
        return value
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        if not isinstance(value, Mapping):
            raise LipoError(f"{where} is {value!r}", "give a mapping of keys to values")
        return parse(kind, value, where)
    if origin in (list, tuple, Sequence, typing.Sequence) or origin is type(Sequence):
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise LipoError(f"{where} is {value!r}", "give a list")
        kinds = [arguments[0]] * len(value)
        if origin is tuple and Ellipsis not in arguments:
            kinds = list(arguments)
            if len(value) != len(kinds):
                raise LipoError(f"{where} is {value!r}", f"give a list of {len(kinds)} values")
        items = [_convert(v, kind, f"{where}[{i}]") for i, (v, kind) in enumerate(zip(value, kinds, strict=True))]
        return tuple(items) if origin is tuple else items
    if origin in (dict, Mapping) or kind is dict:
        if not isinstance(value, Mapping):
            raise LipoError(f"{where} is {value!r}", "give a mapping of keys to values")
        item = arguments[1] if arguments else Any
        return {str(k): _convert(v, item, f"{where}.{k}") for k, v in value.items()}
    if kind is Path and isinstance(value, (str, Path)):
        return Path(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is float and isinstance(value, str):
        # YAML 1.1 reads 1e-5 (no dot) as text.
        try:
            return float(value)
        except ValueError:
            pass
    if kind is str and isinstance(value, Path):
        return str(value)
    if isinstance(value, kind) and not (kind in (int, float) and isinstance(value, bool)):
        return value
    raise LipoError(f"{where} is {value!r}", f"give a value of type {_type_name(kind)}")


def _check_limits(value: Any, meta: Mapping[str, Any], where: str) -> None:
    if isinstance(value, list | tuple | dict):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            _check_limits(item, meta, f"{where}[{key!r}]")
        return
    choices = meta.get("choices")
    if choices is not None and value is not None and value not in choices:
        raise LipoError(f"{where} is {value!r}", f"use one of {', '.join(map(repr, choices))}")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        low, high = meta.get("minimum"), meta.get("maximum")
        if isinstance(value, float) and not math.isfinite(value):
            raise LipoError(f"{where} is {value!r}", "give a finite number")
        if (low is not None and value < low) or (high is not None and value > high):
            bounds = (
                f"between {low} and {high}"
                if None not in (low, high)
                else f"at least {low}"
                if high is None
                else f"at most {high}"
            )
            raise LipoError(f"{where} is {value!r}", f"give a number {bounds}")


def parse(cls: type[T], data: Mapping[str, Any] | None, where: str) -> T:
    """Build a dataclass from a mapping, checking every key, type and limit.

    Args:
        cls: A dataclass whose fields were declared with :func:`option`.
        data: Keys and values, e.g. from YAML; ``None`` means all defaults.
        where: How the user knows the mapping, e.g. ``algorithm.lipo`` or a file name; used in messages.

    Returns:
        The instance.

    Raises:
        LipoError: Unknown key (with the nearest valid name), missing key, wrong type, or value out of range.

    Example:
        >>> @dataclasses.dataclass(frozen=True)
        ... class Options:
        ...     boost: float = option(1.0, help="Factor.", minimum=0)
        >>> parse(Options, {"boost": 2}, "algorithm.lipo").boost
        2.0
    """
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    data = data or {}
    for key in data:
        if key not in fields:
            raise LipoError(f"unknown key '{key}' in {where}", nearest(str(key), list(fields)))
    values = {}
    for name, field in fields.items():
        if name in data:
            values[name] = _convert(data[name], hints[name], f"{where}.{name}")
            _check_limits(values[name], field.metadata, f"{where}.{name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise LipoError(f"{where} has no key '{name}'", f"add it: {field.metadata.get('help', '')}")
    return cls(**values)


def load_yaml(cls: type[T], path: Path, overrides: Sequence[str] = ()) -> T:
    """Read a YAML file with OmegaConf (interpolations allowed), apply ``key=value`` overrides, and :func:`parse` it.

    Args:
        cls: Dataclass of the file's content.
        path: The file.
        overrides: OmegaConf dot-list, e.g. ``["options.scale=0.5"]``.

    Returns:
        The instance.

    Raises:
        LipoError: No such file, not YAML, unresolvable, or rejected by :func:`parse`.
    """
    from omegaconf import OmegaConf

    if not path.is_file():
        raise LipoError(f"no recipe at {path}", "check the path")
    with _reading(str(path)):
        config = OmegaConf.load(path)
    if not OmegaConf.is_dict(config):
        raise LipoError(f"{path} does not hold a mapping", "write 'key: value' lines")
    return parse(cls, with_overrides(config, overrides, str(path)), str(path))


def with_overrides(data: Any, overrides: Sequence[str], where: str = "the overrides") -> dict[str, Any]:
    """Merge ``key=value`` overrides into a mapping, and resolve its interpolations.

    Args:
        data: Mapping, or what OmegaConf has loaded.
        overrides: OmegaConf dot-list, e.g. ``["options.scale=0.5"]``.
        where: How the user knows all of it; used in messages.

    Returns:
        Plain values.

    Raises:
        LipoError: An override is no YAML, or something cannot be resolved.

    Example:
        >>> with_overrides({"scale": 1, "twice": "${scale}"}, ["scale=2"])
        {'scale': 2, 'twice': 2}
    """
    from omegaconf import OmegaConf

    with _reading(where):
        merged = OmegaConf.merge(data, OmegaConf.from_dotlist(list(overrides)))
        return typing.cast("dict[str, Any]", OmegaConf.to_container(merged, resolve=True))


@contextlib.contextmanager
def _reading(where: str) -> Iterator[None]:
    """Turn what YAML and OmegaConf raise into a LipoError."""
    import yaml
    from omegaconf.errors import OmegaConfBaseException

    try:
        yield
    # YAML lets errors of its constructors through, as for 0b_; a dot-list those of its brackets.
    except (yaml.YAMLError, OmegaConfBaseException, ValueError, LookupError, OSError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise LipoError(f"cannot read {where}: {reason}", "correct the file or the override") from error


def reference_table(cls: type[Any]) -> str:
    """Describe a config dataclass as a Markdown table: key, type, default, meaning."""
    hints = typing.get_type_hints(cls)
    lines = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for field in dataclasses.fields(cls):
        value = field.default
        if field.default_factory is not dataclasses.MISSING:
            value = field.default_factory()
        if value is dataclasses.MISSING:
            default = "*required*"
        elif dataclasses.is_dataclass(value):
            default = "its own defaults"
        else:
            default = _yaml(value)
        kind = _type_name(hints[field.name]).replace("|", "or")
        choices = field.metadata.get("choices")
        if choices:
            kind = " or ".join(f"`{_yaml(c)}`" for c in choices)
        lines.append(f"| `{field.name}` | {kind} | {default} | {field.metadata.get('help', '')} |")
    return "\n".join(lines)


def _yaml(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
