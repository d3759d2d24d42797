"""Strings that may never be stored, found in every way in which they are written down by accident.

As they are; as JSON, percent encoding (also twice) or HTML escapes them; as hexadecimal; and as base64, where the same string is
written in three ways, by the place at which it begins.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from urllib.parse import quote

from shadownb.engine.capture.rules import without_keys

SHORTEST = 12
"""Characters; a shorter string is no secret: local servers take ``EMPTY`` or ``ollama`` as a key."""
HIDDEN = b"[key]"

# In hexadecimal: what can be seen, without quotation mark and backslash, so that JSON stays what it is.
_CHARACTER = rb"(?:2[013-9a-fA-F]|[346][0-9a-fA-F]|5[0-9abdefABDEF]|7[0-9a-eA-E])"
_ESCAPED = re.compile(
    rb"\\+(?:u00|x)(" + _CHARACTER + rb")|%(?:25)*(" + _CHARACTER + rb")|&#[xX](" + _CHARACTER + rb");|&#([0-9]{2,3});"
)
# The escapes that programs write of themselves (Go: < > &, .NET: + ' as well, URLs: / = +) are no reason to look closer.
_SEEN = rb"(?:2[dD]|3[0-9]|4[1-9a-fA-F]|5[0-9aAfF]|6[1-9a-fA-F]|7[0-9aA])"
_SUSPICIOUS = (
    (b"\\", re.compile(rb"\\(?:u00|x)" + _SEEN)),
    (b"%", re.compile(rb"%(?:25)*" + _SEEN)),
    (b"&#", re.compile(rb"&#[xX]?[0-9]")),
)
_BASE64 = rb"[A-Za-z0-9+/_\-]"


class Spellings:
    """Takes known strings, and what has the shape of a key, out of bytes and texts."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = [secret for secret in dict.fromkeys(secrets) if len(secret) >= SHORTEST]
        exact = {form for secret in known for form in _forms(secret)}
        self._exact = sorted(exact, key=len, reverse=True)
        self._encoded = [
            (core, re.compile(_BASE64 + rb"{0,2}" + re.escape(core) + _BASE64 + rb"{0,2}={0,2}"))
            for secret in known
            for core in _base64(secret)
        ]

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
        for core, around in self._encoded:
            if core in data:
                data = around.sub(HIDDEN, data)
        return without_keys(data)


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


def _base64(secret: str) -> set[bytes]:
    """Return what is the same in every base64 text that holds a string, by its place among the groups of three bytes."""
    plain = secret.encode()
    found = set()
    for before in range(3):
        text = base64.b64encode(b"\0" * before + plain)
        begin = -(-before * 8 // 6)  # the first character that no byte before has a part in
        end = (before + len(plain)) * 8 // 6
        found |= {text[begin:end], base64.urlsafe_b64encode(b"\0" * before + plain)[begin:end]}
    return found


def _unescaped(match: re.Match[bytes]) -> bytes:
    if match[4]:
        number = int(match[4])
        plain = bytes([number]) if number < 128 else b""
        return plain if re.fullmatch(rb"[ !#-\[\]-~]", plain) else match[0]
    return bytes([int(match[1] or match[2] or match[3], 16)])
