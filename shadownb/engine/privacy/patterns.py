"""Where personal data stands in a text: e-mail addresses, phone numbers, payment cards, IBANs, postal addresses, given names.

Numbers and addresses are judged by kept libraries: ``phonenumbers`` (Google's metadata of every country), ``python-stdnum`` (check
digits and lengths of accounts and cards) and ``pyap2`` (addresses of the United States, Canada and the United Kingdom). What is
written here only finds candidates for them, so that a text without any costs a look or two.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

from shadownb.errors import ConfigError


class Found(NamedTuple):
    """One place in a text, and what stands there in the one form that tells it from others."""

    begin: int
    end: int
    value: str


Finder = Callable[[str], Iterable[Found]]

_EMAIL = re.compile(r"[\w.%+\-]{1,64}(?:@|%40|\uff20)(?:[\w\-]{1,63}\.)+[^\W\d_]{2,24}")
_SHAPED_AS_PHONE = re.compile(
    # Not the end of a longer mark, such as that of an order, 2026-0000-1234.
    r"(?<![\w.+])(?<!\w[\-/])(?:\+\d{1,3}(?:[\s.\-/]?\(?\d{1,9}\)?){1,5}"  # +49 30 1234567
    r"|\(\d{2,5}\)[\s.\-/]?\d{2,8}(?:[\s.\-/]\d{2,8}){0,4}"  # (030) 123 45 67
    r"|0\d{1,5}[\s.\-/]\d{2,8}(?:[\s.\-/]\d{2,8}){0,4}"  # 030 1234567
    r"|\d{3}[\s.\-]\d{3}[\s.\-]\d{4})(?!\w)"  # 555-123-4567
)
_DIALLED_ABROAD = re.compile(r"(?<![\w.+])(?<!\w[\-/])00([1-9](?:[\s.\-/]?\(?\d\)?){7,16})(?!\w)")  # 0049 30 1234567
_PLUS = re.compile(r"[+\uff0b]\s?[(\d\uff10-\uff19]")
_MANY_DIGITS = re.compile(r"\d(?:[\s.\-/()]{0,3}\d){6}")
_CARD = re.compile(r"(?<![\d.])(?:3|4|5|6|2[2-7])(?:[ \-\u00a0]?\d){12,18}(?!\d)")
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?:[ \-\u00a0]?[A-Za-z0-9]){11,30}")
_SHORTEST_IBAN = 15
# What an address ends with. A number of five digits alone is none: most of them are no codes.
_STATES = (
    "A[KLRZ]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|P[AR]|RI|S[CD]|T[NX]|UT|V[AT]|W[AIVY]|"
    "(?i:alabama|alaska|arizona|arkansas|california|colorado|connecticut|delaware|florida|georgia|hawaii|idaho|illinois|indiana|"
    "iowa|kansas|kentucky|louisiana|maine|maryland|massachusetts|michigan|minnesota|mississippi|missouri|montana|nebraska|nevada|"
    "new (?:hampshire|jersey|mexico|york)|(?:north|south) (?:carolina|dakota)|ohio|oklahoma|oregon|pennsylvania|rhode island|"
    "tennessee|texas|utah|vermont|(?:west )?virginia|washington|wisconsin|wyoming)"
)
Country = Literal["US", "CA", "GB"]
_POSTCODES: dict[Country, re.Pattern[str]] = {
    "US": re.compile(rf"(?<!\w)(?:{_STATES})[.,]?\s{{1,3}}\d{{5}}(?:-\d{{4}})?(?![\w\-])"),
    "CA": re.compile(r"(?<!\w)[A-Za-z]\d[A-Za-z][ \-]?\d[A-Za-z]\d(?!\w)"),
    "GB": re.compile(r"(?<!\w)[A-Za-z]{1,2}\d[A-Za-z\d]? ?\d[A-Za-z]{2}(?!\w)"),
}
_BEFORE_POSTCODE, _BEHIND_POSTCODE = 160, 20  # characters that the rest of an address is looked for in
_HOUSE = re.compile(r"(?<!\w)\d{1,6}[A-Za-z]?(?:[ ,\-]|st|nd|rd|th)")


def emails(text: str) -> Iterator[Found]:
    """Yield e-mail addresses, also with letters outside of ASCII and percent-encoded in a link."""
    if "@" in text or "%40" in text or "\uff20" in text:
        for match in _EMAIL.finditer(text):
            value = match[0].replace("%40", "@").replace("\uff20", "@")
            yield Found(*match.span(), value.lower())


def phones(text: str, region: str | None = None) -> Iterator[Found]:
    """Yield phone numbers: those with the code of their country, and those of ``region`` as its people write them.

    Without a region, numbers without a country's code are found by the ways in which they are usually grouped.
    """
    if _MANY_DIGITS.search(text) is None and _PLUS.search(text) is None:
        return
    for match in _SHAPED_AS_PHONE.finditer(text):
        if 8 <= len(digits := re.sub(r"\D", "", match[0])) <= 15:
            yield Found(*match.span(), digits if match[0].startswith("+") else digits.lstrip("0"))
    import phonenumbers

    for match in _DIALLED_ABROAD.finditer(text):
        try:
            number = phonenumbers.parse(f"+{match[1]}")
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(number):
            yield Found(*match.span(), f"{number.country_code}{number.national_number}")
    if region is not None or _PLUS.search(text):
        for found in phonenumbers.PhoneNumberMatcher(text, region):
            yield Found(found.start, found.end, f"{found.number.country_code}{found.number.national_number}")


def phones_of(region: str) -> Finder:
    """Return :func:`phones` for a country. Raises :class:`ConfigError` where it is none."""
    import phonenumbers

    known = phonenumbers.SUPPORTED_REGIONS
    if region.upper() not in known:
        raise ConfigError(
            f"redact='phone:{region}': {region!r} is no country that numbers are known of.",
            fix="Give its two letters, for example 'phone:DE' or 'phone:US'.",
        )
    return lambda text: phones(text, region.upper())


def cards(text: str) -> Iterator[Found]:
    """Yield numbers of payment cards: as the networks begin them, with a right check digit."""
    from stdnum import luhn

    for match in _CARD.finditer(text):
        digits = re.sub(r"\D", "", match[0])
        if luhn.is_valid(digits):
            yield Found(*match.span(), digits)


def ibans(text: str) -> Iterator[Found]:
    """Yield numbers of bank accounts in the form of ISO 13616, with the length of their country and right check digits."""
    from stdnum import iban

    for match in _IBAN.finditer(text):
        candidate = match[0]
        # Words may follow without a border that could be told from a blank inside of the number.
        for end in range(len(candidate), 0, -1):
            if end < len(candidate) and not candidate[end - 1].isalnum():
                continue
            number = re.sub(r"[^A-Za-z0-9]", "", candidate[:end]).upper()
            if len(number) < _SHORTEST_IBAN:
                break
            if iban.is_valid(number, check_country=False):
                yield Found(match.start(), match.start() + end, number)
                break


def addresses(text: str) -> Iterator[Found]:
    """Yield postal addresses with their code: of the United States, Canada and the United Kingdom."""
    for country, postcode in _POSTCODES.items():
        for match in postcode.finditer(text):
            begin = max(0, match.start() - _BEFORE_POSTCODE)
            window = text[begin : match.end() + _BEHIND_POSTCODE]
            if _HOUSE.search(window, 0, match.start() - begin):
                for start, end in _addresses_in(window, country):
                    if begin + start < match.end() <= begin + end:
                        found = text[begin + start : begin + end]
                        yield Found(begin + start, begin + end, " ".join(found.lower().split()))


@lru_cache(
    maxsize=1024
)  # the same turns come again with every call of a conversation, and a look takes some milliseconds
def _addresses_in(window: str, country: Country) -> tuple[tuple[int, int], ...]:
    import pyap

    places = []
    for found in pyap.parse(window, country=country):
        said = window[found.match_start : found.match_end]
        start = found.match_start + len(said) - len(said.lstrip(" ,.;:\n"))
        places.append((start, found.match_start + len(said.rstrip(" ,.;:\n"))))
    return tuple(places)


def names_in(file: str) -> Finder:
    """Return what finds the names of a list: one a line, such as an export of one's customers.

    A name of several words is found however it is written in capitals and small letters; one of a single word only as it
    stands, since many are words as well.

    Raises
    ------
    ConfigError
        The file cannot be read, or holds no name.
    """
    path = Path(file).expanduser()
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"redact='name:{file}': the list of names cannot be read ({type(error).__name__}).",
            fix="Give a text file (UTF-8) with one name a line.",
        ) from error
    listed = {" ".join(line.split()) for line in lines if line.strip()}
    if not listed:
        raise ConfigError(f"redact='name:{file}': the list holds no name.", fix="Write one name a line.")
    return names(listed)


def names(listed: Iterable[str]) -> Finder:
    """Return what finds these names."""
    by_words: dict[bool, list[str]] = {True: [], False: []}
    for name in sorted(listed, key=len, reverse=True):
        by_words[" " in name].append(r"\s+".join(map(re.escape, name.split())))
    found = [
        re.compile(rf"(?<!\w)(?:{'|'.join(forms)})(?!\w)", re.IGNORECASE if several else 0)
        for several, forms in by_words.items()
        if forms
    ]

    def find(text: str) -> Iterator[Found]:
        for pattern in found:
            for match in pattern.finditer(text):
                yield Found(*match.span(), " ".join(match[0].lower().split()))

    return find
