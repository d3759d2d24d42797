r"""Numbers as people and models write them, read exactly: ``1,234.50``, ``1 234,5``, ``3/4``, ``2½``, ``\frac{3}{4}``, ``50 %``."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction

_MOST_DIGITS = 60  # longer ones are no answers; reading them takes quadratic time
_MOST_EXPONENT = 400  # a double ends at 308
_SPACE = r"[ \u00a0\u2009\u202f]"
_VULGAR = "¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞"
_GROUPED = "|".join(
    (
        r"\d{1,3}(?:,\d{3})+(?:\.\d+)?",
        r"\d{1,3}(?:\.\d{3}){2,}(?:,\d+)?|\d{1,3}\.\d{3},\d+",
        rf"\d{{1,3}}(?:{_SPACE}\d{{3}})+(?:[.,]\d+)?",
        r"\d{1,3}(?:['’_]\d{3})+(?:\.\d+)?",
    )
)
_DECIMAL = r"\d+(?:[.,]\d+)?|\.\d+"
_NUMBER = re.compile(
    rf"""(?<![\w.])(?P<sign>[-+−–]?){_SPACE}?(?P<currency>[$€£¥]|\\\$)?{_SPACE}?
    (?:
        \\[dt]?frac\{{\s*(?P<latex_top>-?\d+)\s*\}}\{{\s*(?P<latex_bottom>\d+)\s*\}}
      | (?:(?P<whole>\d+){_SPACE})?(?P<top>\d+){_SPACE}?[/⁄]{_SPACE}?(?P<bottom>\d+)(?![\d/.])
      | (?P<before>\d+)?(?P<vulgar>[{_VULGAR}])
      | (?P<body>(?:{_GROUPED})(?!\d)|{_DECIMAL})(?:(?:[eE]|{_SPACE}?[×x*]{_SPACE}?10\^?\{{?)(?P<exponent>[-+−]?\d+)\}}?)?
    )
    (?P<percent>{_SPACE}?(?:%|\\%|percent\b|per{_SPACE}cent\b))?""",
    re.X,
)
_UNIT = re.compile(rf"{_SPACE}?(?:\\text\{{\s*)?(?P<unit>°?[^\W\d_][^\W\d_]*(?:/[^\W\d_]+)?[²³]?(?:\^\d)?)")


@dataclass(frozen=True)
class Number:
    """A number in a text.

    Attributes
    ----------
    value : Fraction
        Exact; of a percentage a hundredth of what stands there.
    unit : str
        The word behind it, ``%``, a currency sign, or empty.
    start, end : int
        Where it stands, the unit not counted.
    """

    value: Fraction
    unit: str
    start: int
    end: int


def numbers(text: str) -> list[Number]:
    """Return the numbers of a text, in order; those with more digits than any answer has are left out."""
    return [number for match in _NUMBER.finditer(text) if (number := _read(match, text)) is not None]


def _read(match: re.Match[str], text: str) -> Number | None:
    value = _value(match)
    if value is None:
        return None
    value = -value if match["sign"] in ("-", "−", "–") and match["sign"] else value
    unit = "%" if match["percent"] else (match["currency"] or "").lstrip("\\")
    if match["percent"]:
        value /= 100
    elif not unit:
        behind = _UNIT.match(text, match.end())
        unit = behind["unit"] if behind is not None else ""
    return Number(value, unit, match.start(), match.end())


def _value(match: re.Match[str]) -> Fraction | None:
    if len(match.group()) > _MOST_DIGITS:
        return None
    if match["latex_top"] is not None:
        return _ratio(match["latex_top"], match["latex_bottom"])
    if match["top"] is not None:
        ratio = _ratio(match["top"], match["bottom"])
        return ratio if ratio is None else ratio + int(match["whole"] or 0)
    if match["vulgar"] is not None:
        part = Fraction(unicodedata.numeric(match["vulgar"])).limit_denominator(10)
        return part + int(match["before"] or 0)
    exponent = int((match["exponent"] or "0").replace("−", "-"))
    if abs(exponent) > _MOST_EXPONENT:
        return None
    return Fraction(_plain(match["body"])) * Fraction(10) ** exponent


def _ratio(top: str, bottom: str) -> Fraction | None:
    return Fraction(int(top), int(bottom)) if int(bottom) else None


def _plain(body: str) -> str:
    """Return digits with a decimal point. A comma before three digits groups thousands, else it is a decimal comma."""
    body = re.sub(rf"{_SPACE}|['’_]", "", body)
    if "," in body and "." in body:
        decimal = max(body.rfind(","), body.rfind("."))
        return f"{re.sub('[.,]', '', body[:decimal])}.{body[decimal + 1 :]}"
    if body.count(",") > 1 or body.count(".") > 1 or re.fullmatch(r"[1-9]\d{0,2},\d{3}", body):
        return re.sub("[.,]", "", body)
    return body.replace(",", ".")
