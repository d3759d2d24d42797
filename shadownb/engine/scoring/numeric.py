"""Whether an answer gives the expected number."""

from __future__ import annotations

import re
from fractions import Fraction

from shadownb.engine.scoring.answers import plain
from shadownb.engine.scoring.base import Score
from shadownb.engine.scoring.numbers import Number, numbers
from shadownb.errors import ConfigError

# Where a model says which number is its answer: the strongest marker first, and of one that stands several times the last.
_TAGGED = re.compile(r"<answer>(.*?)</answer>", re.S)
_BOXED = re.compile(r"\\boxed\s*\{((?:[^{}]|\{[^{}]*\})*)\}")
_MARKERS = (
    _BOXED,
    re.compile(r"####[ \t]*([^\n]*)"),
    _TAGGED,
    re.compile(r"(?i)\b(?:final\s+)?answer\b\**\s*(?:is|=|:)\s*\**\s*([^\n]*?)(?:\.(?=\s|$)|\n|$)"),
)
_WORDS = "not|never|neither|nor|than|over|under|about|around|roughly|approximately|almost|between"
_DENIED = re.compile(rf"(?i)(?:\b(?:{_WORDS})\b|n['’]t)\W*$|(?:[≠≈~]|(?<![<>=-])[<>])\s*[$€£]?\s*$")
_ENUMERATED = re.compile(
    r"(?i)^[^\w=→⇒>]*(?:(?:or|and|maybe|perhaps|possibly|probably|either|alternatively|then|else|also|even|it|might|may|could|be|[a-e](?=[).:]))\b[^\w=→⇒>]*)*$"
)
_IN_TEXT = re.compile(r"\\(?:text|mathrm|textbf|mathbf)\s*\{([^{}]*)\}")
_HARMLESS = re.compile(r"\^\s*\{?\\circ\}?|\\[,;:() ]|\\[\[\]]|(?<!\\)\$(?!\d)|\*\*|`")
_NAME = re.compile(r"[^\d\W]\w*|[^a-zA-Z]*")  # what may stand before "=": a name, or a sum
_FORMULA = re.compile(r"\\(?![$%])|[\^_{+*/()\[\]|<>]|(?<=\d)\s*,|\d")
_VARIABLES = frozenset("abcijknpqrtuvwxyzπ")
_SENTENCE = re.compile(r"[.!?](?=\s|$)|\n")
_ALIASES = {
    "kilometers": "km", "kilometres": "km", "kilometer": "km", "kilometre": "km", "meters": "m", "metres": "m", "meter": "m",
    "metre": "m", "centimeters": "cm", "centimetres": "cm", "miles": "mi", "mile": "mi", "kilograms": "kg", "kilogram": "kg",
    "grams": "g", "gram": "g", "hours": "h", "hour": "h", "hrs": "h", "hr": "h", "minutes": "min", "minute": "min", "mins": "min",
    "seconds": "s", "second": "s", "sec": "s", "secs": "s", "dollars": "$", "dollar": "$", "usd": "$", "euros": "€", "euro": "€",
    "eur": "€", "pounds": "£", "gbp": "£", "liters": "l", "litres": "l", "liter": "l", "litre": "l", "degrees": "°",
}  # fmt: skip


class Numeric:
    r"""Score 1.0 where the number that an answer gives is the expected one.

    The answer is what stands in ``\boxed{}``, behind ``####``, in ``<answer>``, or behind "the answer is"; else the last number
    of the text. Several numbers offered side by side ("41 or 42"), or different ones in two boxes, are no answer. Numbers may
    have thousands marks, a decimal point or comma, a fraction, an exponent, a percent sign, a currency or a unit. A unit counts
    where both have one and both are known. Where one of both has a percent sign, 50 % is 0.5 as well as 50.

    Parameters
    ----------
    tolerance
        The largest difference that is still right, as a share of the expected number.

    Raises
    ------
    ConfigError
        ``tolerance`` is below 0.

    Examples
    --------
    >>> snb.scoring.Numeric()("So it costs $1,234.50 in all.", "1234.5").value
    1.0
    >>> snb.scoring.Numeric()("41 or 42", "42").reason
    'gives several numbers side by side'
    """

    name: str = "numeric"

    def __init__(self, *, tolerance: float = 1e-6) -> None:
        if not tolerance >= 0:
            raise ConfigError(f"tolerance={tolerance!r} is below 0.", fix="Give a share, such as 0.01.")
        self.tolerance = Fraction(tolerance)

    def __repr__(self) -> str:
        return f"Numeric(tolerance={float(self.tolerance):g})"

    def check(self, expected: str) -> None:
        """Raise ValueError where no number is expected."""
        self._expected(expected)

    def __call__(self, output: str, expected: str) -> Score:
        """Return the score of an answer."""
        wanted = self._expected(expected)
        given, problem = _given(plain(output))
        if given is None:
            return Score(0.0, problem)
        shown = f"{float(given.value):g}{given.unit and ' ' + given.unit[:20]}"
        if not self._same(given, wanted):
            return Score(0.0, f"gives {shown}, expected {float(wanted.value):g}")
        ours, theirs = _unit(wanted.unit), _unit(given.unit)
        if ours != theirs and ours in _KNOWN and theirs in _KNOWN:
            return Score(0.0, f"gives {shown}, expected {wanted.unit}")
        return Score(1.0, f"gives {shown}")

    def _expected(self, expected: str) -> Number:
        number = _gold(plain(expected))
        if number is None:
            raise ValueError(f"{expected[:40]!r} is not one number to compare with")
        return number

    def _same(self, given: Number, wanted: Number) -> bool:
        values = [given.value]
        if given.unit == "%" and wanted.unit != "%":
            values.append(given.value * 100)
        if wanted.unit == "%" and given.unit != "%":
            values.append(given.value / 100)
        return any(abs(value - wanted.value) <= abs(wanted.value) * self.tolerance for value in values)


_KNOWN = frozenset(_ALIASES.values()) | {
    "%",
    "¥",
    "mm",
    "mg",
    "ml",
    "ms",
    "°c",
    "°f",
    "ft",
    "in",
    "lb",
    "oz",
    "km/h",
    "mph",
}


def _unit(unit: str) -> str:
    unit = unit.casefold()
    return _ALIASES.get(unit, unit)


def _gold(text: str) -> Number | None:
    """Return the number of an expected answer: alone, or behind its marker; None where it is another thing or several."""
    text = text.replace("\\!", "")
    for marker in _MARKERS:
        marked = list(marker.finditer(text))
        if marked:
            return _lone(marked[-1][1])
    return _lone(text)


def _given(text: str) -> tuple[Number | None, str]:
    """Return the number that a text gives as its answer, or None and why there is none."""
    text = text.replace("\\!", "")  # LaTeX's way to keep digits together
    for marker in _MARKERS:
        marked = list(marker.finditer(text))
        opened = marker is _BOXED and text.rfind("\\boxed") > (marked[-1].start() if marked else -1)
        if opened:  # cut off in the middle of its answer; what stands before is not that
            return None, "its last box is not closed"
        if not marked:
            continue
        found = [(_lone if marker in (_BOXED, _TAGGED) else _first)(match[1]) for match in marked]
        if marker is _BOXED and len({number and number.value for number in found}) > 1:
            return None, f"gives {len(found)} different answers"
        return (found[-1], "") if found[-1] is not None else (None, "its answer is not one number")
    there = numbers(text)
    if not there:
        return None, "has no number"
    last = there[-1]
    begin = max((match.end() for match in _SENTENCE.finditer(text, 0, last.start)), default=0)
    if _DENIED.search(text[begin : last.start]):
        return None, "gives no number as its answer"
    return (None, "gives several numbers side by side") if _is_list(text, there) else (last, "")


def _first(text: str) -> Number | None:
    """Return the number of a line that is an answer: the one behind the last "=", else the first; None where there are several."""
    text = text.rpartition("=")[2]
    there = numbers(text)
    return None if not there or _is_list(text, there) or _DENIED.search(text[: there[0].start]) else there[0]


def _lone(text: str) -> Number | None:
    """Return the number of a text that has one, and words at most; None for a list, a formula, a point, a range."""
    left, _, text = text.rpartition("=")
    text = _HARMLESS.sub(" ", _IN_TEXT.sub(r" \1", text))
    there = numbers(text)
    if (
        not _NAME.fullmatch(left.strip())
        or len(there) != 1
        or (len(there[0].unit) == 1 and there[0].unit in _VARIABLES)
    ):
        return None
    around = text[: there[0].start] + text[there[0].end :]
    return None if _FORMULA.search(around) or _DENIED.search(text[: there[0].start]) else there[0]


def _is_list(text: str, there: list[Number]) -> bool:
    """Whether the last number is one of several that are offered as the answer."""
    if len(there) < 2 or there[-1].value == there[-2].value:
        return False
    between = text[there[-2].end : there[-1].start].lstrip()
    return _ENUMERATED.match(between.removeprefix(there[-2].unit)) is not None
