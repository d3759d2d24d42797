"""The ready rules of ``redact=``: e-mail addresses, payment cards, keys and phone numbers, each replaced by its name."""

from __future__ import annotations

import re
from collections.abc import Callable

Rule = Callable[[str], str]

_EMAIL = re.compile(r"[A-Za-z0-9._%+\-]{1,64}@(?:[A-Za-z0-9\-]{1,63}\.)+[A-Za-z]{2,24}")
_PHONE = re.compile(
    r"(?<![\w.+])(?:\+\d{1,3}(?:[\s.\-/]?\(?\d{1,9}\)?){1,5}"  # +49 30 1234567
    r"|\(\d{2,5}\)[\s.\-/]?\d{2,8}(?:[\s.\-/]\d{2,8}){0,4}"  # (030) 123 45 67
    r"|0\d{1,5}[\s.\-/]\d{2,8}(?:[\s.\-/]\d{2,8}){0,4}"  # 030 1234567
    r"|\d{3}[\s.\-]\d{3}[\s.\-]\d{4})(?!\w)"  # 555-123-4567
)
_CARD = re.compile(r"(?<!\d)(?:\d[ \-]?){12,18}\d(?!\d)")
_KEY = re.compile(
    r"(?<![A-Za-z0-9])(?:sk|pk|rk)[-_](?:[A-Za-z0-9]+[-_])*[A-Za-z0-9]{16,}[\w\-]*"  # OpenAI, Anthropic, Stripe
    r"|(?<![A-Za-z0-9])(?:ghp|gho|ghu|ghs|ghr|hf|glpat|xox[abprs]|github_pat)[-_][A-Za-z0-9_\-]{16,}"
    r"|(?<![A-Za-z0-9])AKIA[0-9A-Z]{16}(?![0-9A-Z])|(?<![A-Za-z0-9])AIza[0-9A-Za-z_\-]{35}"
    r"|eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}"  # a JSON web token
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?-----END [A-Z ]*PRIVATE KEY-----"
    r"|(?<=Bearer )[A-Za-z0-9._~+/\-]{16,}=*"
)


def _luhn(digits: str) -> bool:
    doubled = [int(d) * (2 if place % 2 else 1) for place, d in enumerate(reversed(digits))]
    return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0


def _card(match: re.Match[str]) -> str:
    digits = re.sub(r"\D", "", match.group())
    return "[card]" if 13 <= len(digits) <= 19 and _luhn(digits) else match.group()


def _phone(match: re.Match[str]) -> str:
    return "[phone]" if 8 <= len(re.sub(r"\D", "", match.group())) <= 15 else match.group()


RULES: dict[str, Rule] = {
    "email": lambda text: _EMAIL.sub("[email]", text),
    "card": lambda text: _CARD.sub(_card, text),
    "key": lambda text: _KEY.sub("[key]", text),
    "phone": lambda text: _PHONE.sub(_phone, text),  # last: a card number looks like one
}
