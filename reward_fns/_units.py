"""Units of measurement, money and counted things: which are the same, and how they convert."""

from __future__ import annotations

import functools
import re
from fractions import Fraction
from typing import NamedTuple


class Unit(NamedTuple):
    """What a number counts."""

    dimension: tuple[tuple[str, int], ...]
    """Base quantities and their powers, sorted, e.g. ``(("length", 1), ("time", -1))``; empty for "units"."""
    factor: Fraction
    """How many base units it holds."""


def _table() -> dict[str, tuple[str, Fraction]]:
    # dimension: {names: size in the base unit}. Sizes are exact by definition of the unit.
    sizes: dict[str, dict[str, str]] = {
        "length": {
            "m metre meter metres meters": "1",
            "km Km KM kilometre kilometer kilometres kilometers": "1000",
            "dm decimetre decimeter": "1/10",
            "cm Cm CM centimetre centimeter centimetres centimeters": "1/100",
            "mm millimetre millimeter millimetres millimeters": "1/1000",
            "μm um micron microns micrometre micrometer": "1/1000000",
            "nm nanometre nanometer nanometres nanometers": "1/1000000000",
            "in inch inches": "254/10000",
            "ft foot feet": "3048/10000",
            "yd yds yard yards": "9144/10000",
            "mi mile miles": "1609344/1000",
        },
        "time": {
            "s sec secs second seconds": "1",
            "ms millisecond milliseconds": "1/1000",
            "min mins minute minutes": "60",
            "h hr hrs hour hours": "3600",
            "day days": "86400",
            "week weeks": "604800",
        },
        "calendar": {"month months": "1", "yr yrs year years": "12"},
        "mass": {
            "kg Kg KG kilo kilos kilogram kilograms": "1",
            "g gram grams": "1/1000",
            "mg milligram milligrams": "1/1000000",
            "t tonne tonnes": "1000",
            "lb lbs pound pounds": "45359237/100000000",
            "oz ounce ounces": "45359237/1600000000",
        },
        "volume": {
            "l L litre liter litres liters": "1/1000",
            "ml mL millilitre milliliter millilitres milliliters cc": "1/1000000",
            "gal gallon gallons": "3785411784/1000000000000",
        },
        "area": {"ha hectare hectares": "10000", "acre acres": "40468564224/10000000"},
        "angle": {"deg degree degrees": "1"},
        "radian": {"rad radian radians": "1"},
        "celsius": {"°C degC celsius": "1"},
        "fahrenheit": {"°F degF fahrenheit": "1"},
        "kelvin": {"K kelvin kelvins": "1"},
        "force": {"N newton newtons": "1", "kN": "1000"},
        "energy": {"J joule joules": "1", "kJ": "1000", "kWh kwh": "3600000", "MJ": "1000000"},
        "power": {"W watt watts": "1", "kW": "1000", "MW": "1000000", "mW": "1/1000"},
        "voltage": {"V volt volts": "1"},
        "current": {"A amp amps ampere amperes": "1"},
        "resistance": {"Ω ohm ohms": "1"},
        "pressure": {"Pa pascal pascals": "1", "kPa": "1000"},
        "amount": {"mol mole moles": "1"},
        "frequency": {"Hz hertz": "1", "kHz": "1000", "MHz": "1000000", "GHz": "1000000000"},
        "data": {"kB KB": "1000", "MB": "1000000", "GB": "1000000000", "TB": "1000000000000", "byte bytes": "1"},
        "dollar": {"$ USD usd US$ dollar dollars": "1", "¢ cent cents": "1/100"},
        "euro": {"€ EUR eur euro euros": "1"},
        "sterling": {"£ GBP gbp": "1"},
        "yen": {"¥ JPY jpy yen": "1"},
        "yuan": {"CNY RMB cny rmb yuan 元": "1"},
        "rupee": {"₹ INR inr Rs rs rupee rupees": "1"},
        "won": {"₩ KRW krw won": "1"},
    }
    table = {}
    for dimension, members in sizes.items():
        for names, size in members.items():
            for name in names.split():
                table[name] = (dimension, Fraction(size))
    return table


_TABLE = _table()
_DEGREES = re.compile(r"\bdeg(?:rees?)?\s+(celsius|fahrenheit)\b", re.IGNORECASE)
_POWER = re.compile(r"\^\s*\{?\s*(-?[123])\s*\}?")
_HEDGES = "or and not maybe perhaps either neither nor to than more less about approximately between but if"
_HEDGES_SET = frozenset(_HEDGES.split())
_SPEEDS = {"mph": "mi/h", "kmph": "km/h", "kph": "km/h", "kmh": "km/h"}
_NO_UNIT = re.compile(r"(?:(?:square|cubic|sq|cu)\.? )?units?(?:\^\{?[23]\}?)?")
_PHRASE = re.compile(r"[^\W\d_]{2,24}(?:[ -][^\W\d_]{1,24}){0,2}")


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 3 else word


def _single(word: str) -> tuple[str, Fraction] | None:
    # Symbols keep their case (mW is not MW), written-out names need not.
    return _TABLE.get(word) or (_TABLE.get(word.casefold()) if len(word) > 3 else None)


def _factor(text: str) -> Unit | None:
    """Read one unit with an optional power: ``cm``, ``m^2``, ``square feet``, ``cubic cm``."""
    text, power = text.strip(), 1
    if raised := _POWER.search(text):
        power, text = int(raised.group(1)), (text[: raised.start()] + text[raised.end() :]).strip()
    words = text.split()
    if len(words) == 2 and words[0].casefold().rstrip(".") in ("square", "sq", "cubic", "cu"):
        power, words = (2 if words[0].casefold().startswith("sq") else 3), words[1:]
    if len(words) != 1:
        return None
    known = _single(words[0].rstrip("."))
    if known is None:
        return None
    dimension, factor = known
    base = {"volume": ("length", 3), "area": ("length", 2)}.get(dimension, (dimension, 1))
    return Unit(((base[0], base[1] * power),), factor**power)


@functools.lru_cache(maxsize=1024)
def parse_unit(text: str) -> Unit | None:
    r"""Read what stands behind a number.

    Known units convert (``km/h``, ``square feet``, ``m^{2}``); up to three other words are a counted thing, the same
    only as itself (``apples``). Words that hedge or offer alternatives are no unit.

    Args:
        text: Such as ``cm``, ``\text{ m/s}``, ``dollars``, ``^\circ``.

    Returns:
        The unit, or ``None``.

    Example:
        >>> parse_unit("km/h") == parse_unit("kilometers per hour"), parse_unit("or 7")
        (True, None)
    """
    text = re.sub(r"\\text\s*\{([^{}]*)\}", r" \1 ", text).replace("\\mu ", "μ").replace("\\Omega", "Ω")
    text = re.sub(r"\^\\circ\s*(?=[CF]\b)", "°", text)
    text = re.sub(r"\^\\circ(?![a-zA-Z])", "deg", text).replace("\\$", "$").strip(" .")
    text = re.sub(r"\s+per\s+", "/", _DEGREES.sub(r"\1", text))
    text = _SPEEDS.get(text.casefold(), text)
    if _NO_UNIT.fullmatch(text):
        return Unit((), Fraction(1))
    if not text or len(text) > 64 or "\\" in text:
        return None
    dimension: dict[str, int] = {}
    scale = Fraction(1)
    for position, part in enumerate(text.split("/")):
        for piece in part.split("*"):
            unit = _factor(piece)
            if unit is None:
                return _counted(text)
            sign = -1 if position else 1
            for name, power in unit.dimension:
                dimension[name] = dimension.get(name, 0) + sign * power
            scale *= unit.factor**sign
    return Unit(tuple(sorted((name, power) for name, power in dimension.items() if power)), scale)


def _counted(text: str) -> Unit | None:
    if not _PHRASE.fullmatch(text):
        return None
    words = text.casefold().replace("-", " ").split()
    if _HEDGES_SET.intersection(words):
        return None
    return Unit(((f"thing:{' '.join(map(_singular, words))}", 1),), Fraction(1))


def is_counted(unit: Unit) -> bool:
    """Whether the unit is a counted thing, not a known unit of measurement."""
    return bool(unit.dimension) and unit.dimension[0][0].startswith("thing:")
