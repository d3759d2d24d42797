"""Strings that may never be stored, found in every way in which they are written down by accident.

As they are; as JSON, percent encoding (also twice), HTML and shells escape them; as hexadecimal or a list of bytes; and as base64,
also of UTF-16 (PowerShell) and twice, where the same string is written in three ways, by the place at which it begins. All of these
may be broken into lines or have blanks, colons or commas between their pieces.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import quote

from shadownb.engine.privacy.keys import without_keys

SHORTEST = 12
"""Characters; a shorter string is no secret: local servers take ``EMPTY`` or ``ollama`` as a key."""
HIDDEN = b"[key]"

# In hexadecimal: what can be seen, without quotation mark and backslash, so that JSON stays what it is.
_CHARACTER = rb"(?:2[013-9a-fA-F]|[346][0-9a-fA-F]|5[0-9abdefABDEF]|7[0-9a-eA-E])"
_ESCAPED = re.compile(
    rb"\\+(?:u00|x|U000000)(" + _CHARACTER + rb")|%(?:25)*(" + _CHARACTER + rb")|&#[xX](" + _CHARACTER + rb");"
    rb"|\\+u\{0{0,4}(" + _CHARACTER + rb")\}|&#([0-9]{2,3});|\\+([01][0-7]{2})"
)
# The escapes that programs write of themselves (Go: < > &, .NET: + ' as well, URLs: / = +) are no reason to look closer.
_SEEN = rb"(?:2[dD]|3[0-9]|4[1-9a-fA-F]|5[0-9aAfF]|6[1-9a-fA-F]|7[0-9aA])"
_SUSPICIOUS = (
    (b"\\", re.compile(rb"\\(?:(?:u00|x|U000000|u\{0{0,4})" + _SEEN + rb"|[01][0-7]{2})")),
    (b"%", re.compile(rb"%(?:25)*" + _SEEN)),
    (b"&#", re.compile(rb"&#[xX]?[0-9]")),
)
_BASE64 = rb"[A-Za-z0-9+/_\-]"
# What may stand between the pieces of an encoded string: line ends, as JSON writes them too, and what tools put between bytes.
_APART = rb"(?:\\[rnt]|[\s:,\\])*"
_APART_BYTES = b" \t\r\n:,\\"


class Spellings:
    """Takes known strings, and what has the shape of a key, out of bytes and texts."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = [secret for secret in dict.fromkeys(secrets) if len(secret) >= SHORTEST]
        exact = {form for secret in known for form in _forms(secret)}
        self._exact = sorted(exact, key=len, reverse=True)
        self._spread = [spread for secret in known for spread in _spreads(secret)]

    def clean(self, data: bytes) -> bytes:
        """Return bytes without them: ``[key]`` stands in their place. Where needless escapes hid one, all of those are gone."""
        data = self._clean(data)
        if any(sign in data and escape.search(data) for sign, escape in _SUSPICIOUS):
            plain = _ESCAPED.sub(_unescaped, data)
            cleaned = self._clean(plain)
            if cleaned != plain:
                return cleaned
        return data

    def clean_text(self, text: str) -> str:
        """Return a text without them."""
        data = text.encode("utf-8", "surrogatepass")
        cleaned = self.clean(data)
        return text if cleaned == data else cleaned.decode("utf-8", "surrogatepass")

    def _clean(self, data: bytes) -> bytes:
        for form in self._exact:
            if form in data:
                data = data.replace(form, HIDDEN)
        tight = _tight(data)
        bare = tight.replace(b"0x", b"") if b"0x" in tight else b""
        for spread in self._spread:
            if spread.tight in tight or (spread.of_bytes and spread.tight in bare):
                data = spread.pattern.sub(spread.hidden, data)
        return without_keys(data)


@dataclass(frozen=True)
class _Spread:
    """One way to write a secret in pieces, which may stand apart.

    Attributes
    ----------
    tight
        The pieces without anything between them: what is looked for, because that is fast.
    of_bytes
        Whether each piece is a byte in hexadecimal, perhaps with ``0x`` before it.
    hidden
        What takes their place.
    """

    tight: bytes
    pieces: tuple[bytes, ...]
    before: bytes = b""
    after: bytes = b""
    of_bytes: bool = False
    hidden: bytes = HIDDEN

    @cached_property
    def pattern(self) -> re.Pattern[bytes]:
        """What is taken out; made only where it is needed."""
        return re.compile(self.before + _APART.join(self.pieces) + self.after)


def _tight(data: bytes) -> bytes:
    """Return bytes without what may stand between the pieces of an encoded string."""
    for end in (b"\\n", b"\\r", b"\\t"):
        if end in data:
            data = data.replace(end, b"")
    return data.translate(None, _APART_BYTES)


def _spreads(secret: str) -> list[_Spread]:
    plain = secret.encode()
    found = [_Spread(_tight(plain), tuple(re.escape(bytes([byte])) for byte in plain))]
    for text in (plain.hex(), plain.hex().upper()):
        pairs = tuple(b"(?:0x)?" + text[at : at + 2].encode() for at in range(0, len(text), 2))
        found.append(_Spread(text.encode(), pairs, of_bytes=True))
    numbers = tuple(str(byte).encode() for byte in plain)
    # In a list of JSON a number has to take their place.
    found.append(_Spread(b"".join(numbers), numbers, before=rb"(?<!\d)", after=rb"(?!\d)", hidden=b"0"))
    inner = _base64(plain)
    cores = {*inner, *_base64(secret.encode("utf-16-le")), *(core for text in inner for core in _base64(text))}
    for core in sorted(cores):
        pieces = tuple(re.escape(bytes([byte])) for byte in core)
        found.append(_Spread(core, pieces, before=_BASE64 + rb"{0,2}", after=_BASE64 + rb"{0,2}={0,2}"))
    return found


def _forms(secret: str) -> set[bytes]:
    """Return the ways in which a string is written whole, other than base64."""
    plain = secret.encode()
    in_json = json.dumps(secret)[1:-1]
    odd = {c: f"\\u{ord(c):04x}" for c in secret if not c.isalnum() and c not in "-_." and ord(c) < 128}
    lower = "".join(odd.get(c, c) for c in secret)
    upper = "".join(
        odd.get(c, c).replace(odd.get(c, c)[2:], odd.get(c, c)[2:].upper()) if c in odd else c for c in secret
    )
    percent = quote(secret, safe="")
    texts = {
        in_json,
        in_json.replace("/", "\\/"),
        lower,
        upper,
        percent,
        quote(secret),
        percent.lower(),
        quote(percent),
    }
    return {plain, plain.hex().encode(), plain.hex().upper().encode(), *(text.encode() for text in texts)}


def _base64(plain: bytes) -> set[bytes]:
    """Return what is the same in every base64 text that holds some bytes, by their place among the groups of three."""
    found = set()
    for before in range(3):
        text = base64.b64encode(b"\0" * before + plain)
        begin = -(-before * 8 // 6)  # the first character that no byte before has a part in
        end = (before + len(plain)) * 8 // 6
        found |= {text[begin:end], base64.urlsafe_b64encode(b"\0" * before + plain)[begin:end]}
    return found


def _unescaped(match: re.Match[bytes]) -> bytes:
    if match[5] or match[6]:
        number = int(match[5]) if match[5] else int(match[6], 8)
        plain = bytes([number]) if number < 128 else b""
        return plain if re.fullmatch(rb"[ !#-\[\]-~]", plain) else match[0]
    return bytes([int(match[1] or match[2] or match[3] or match[4], 16)])
