"""Keys and passwords in texts.

:data:`KEY_SHAPES` is what always goes, without being asked for: keys by the shapes that their makers publish, strict enough that
``pk_customer_internationalization`` (a constraint of SQL) or ``hf_tokenizer_from_file`` (a variable) stay. The rule ``key`` takes
more for a key.
"""

from __future__ import annotations

import re

_KEY = re.compile(
    r"(?<![A-Za-z0-9])(?:sk|pk|rk)[-_](?:[A-Za-z0-9]+[-_])*[A-Za-z0-9]{16,}[\w\-]*"  # OpenAI, Anthropic, Stripe
    r"|(?<![A-Za-z0-9])(?:ghp|gho|ghu|ghs|ghr|hf|glpat|xox[abprs]|github_pat)[-_][A-Za-z0-9_\-]{16,}"
    r"|(?<![A-Za-z0-9])AKIA[0-9A-Z]{16}(?![0-9A-Z])|(?<![A-Za-z0-9])AIza[0-9A-Za-z_\-]{35}"
    r"|eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}"  # a JSON web token
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?-----END [A-Z ]*PRIVATE KEY-----"
    r"|(?<=Bearer )[A-Za-z0-9._~+/\-]{16,}=*"
)

# What is called a key or a password where it stands, and the password of an address. Of letters and digits both: the rest is prose.
_NAMED = re.compile(
    r"((?:api|access|private|account)[_\- ]?key|secret|passw(?:or)?d|auth[_\-]?token)([\"']?\s*[:=]\s*[\"']?)"
    r"(?=[^\s\"'&,;]{0,200}\d)(?=[^\s\"'&,;]{0,200}[A-Za-z])[^\s\"'&,;]{8,200}",
    re.IGNORECASE,
)
_IN_ADDRESS = re.compile(r"(?<=://)([^\s/:@]{1,100}):[^\s/@]{4,200}@")

# Before a key stands no letter or digit, unless it ends an escape: these run over JSON as it stands in a body.
_BEFORE = rb"(?:(?<![A-Za-z0-9])|(?<=\\[nrtbf])|(?<=\\u[0-9a-fA-F]{4}))"
_MIXED = rb"(?=[A-Za-z]*\d)(?=\d*[A-Za-z])"  # of letters and digits both, as nearly all random text of this length is
KEY_SHAPES = re.compile(
    _BEFORE + rb"(?:"
    rb"[cg]?[spr]k[-_](?:[A-Za-z0-9]{1,24}[-_]){0,6}"
    + _MIXED
    + rb"[A-Za-z0-9]{16,}[\w\-]*"  # OpenAI, Anthropic, Stripe, Groq
    rb"|[sp]k-lf-[0-9a-f\-]{36}"  # Langfuse
    rb"|gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{40,}|glpat-" + _MIXED + rb"[\w\-]{20,}"
    rb"|hf_[A-Za-z0-9]{30,}|r8_[A-Za-z0-9]{37}|npm_[A-Za-z0-9]{36}|xai-[A-Za-z0-9]{40,}|pplx-[A-Za-z0-9]{40,}"
    rb"|nvapi-[\w\-]{40,}|lsv2_[ps][tk]_[0-9a-f_]{30,}"
    rb"|pypi-AgEI[\w\-]{50,}|dckr_pat_[\w\-]{20,}|glsa_[A-Za-z0-9]{32}_[0-9a-f]{8}|dop_v1_[0-9a-f]{64}"
    rb"|shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}|sbp_[0-9a-f]{40}|lin_api_[A-Za-z0-9]{40}|ntn_[A-Za-z0-9]{40,}"
    rb"|whsec_"
    + _MIXED
    + rb"[A-Za-z0-9+/]{24,}=*|tvly-(?:dev-|prod-)?"
    + _MIXED
    + rb"[A-Za-z0-9\-]{20,}|GOCSPX-[\w\-]{28}"
    rb"|xox[abeprs]-[0-9]+-[\w\-]{16,}"  # Slack
    rb"|A[KS]IA[0-9A-Z]{16}(?![0-9A-Z])|AIza[0-9A-Za-z_\-]{35}|ya29\.[\w\-]{30,}"  # Amazon, Google
    rb"|SG\.[\w\-]{22}\.[\w\-]{43}"
    rb"|snb-" + _MIXED + rb"[\w\-]{32}(?![\w\-])"  # the token of a capture
    rb"|eyJ[A-Za-z0-9_\-]{8,}\.eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}"  # a JSON web token
    rb")"
    rb"|(?<=[Bb]earer )" + _MIXED + rb"[A-Za-z0-9._~+/\-]{16,}=*"
)
_PRIVATE_KEY = re.compile(
    rb"-----BEGIN [A-Z ]{0,24}PRIVATE KEY-----(?:[\s\S]{0,16384}?-----END [A-Z ]{0,24}PRIVATE KEY-----|[^\"]{0,16384})"
)
# One of these stands in every key above, and in few other texts.
_SIGNS = re.compile(
    rb"[-_AJG2](?:"
    rb"(?=[\w\-]{12})(?:(?<=[spr]k[-_])|(?<=gh[pousr]_)|(?<=github_pat_)|(?<=glpat-)|(?<=hf_)|(?<=r8_)|(?<=npm_)|(?<=xai-)"
    rb"|(?<=pplx-)|(?<=nvapi-)|(?<=lsv2_)|(?<=xox[abeprs]-)|(?<=snb-)|(?<=pypi-)|(?<=dckr_pat_)|(?<=glsa_)|(?<=dop_v1_)"
    rb"|(?<=shp[acps][ats]_)|(?<=sbp_)|(?<=lin_api_)|(?<=ntn_)|(?<=whsec_)|(?<=tvly-)|(?<=GOCSPX-))"
    rb"|(?<=A)(?:[KS]IA|Iza)|(?<=eyJ)|(?<=SG)\.|(?<=ya2)9\.)"
)
_OF_KEYS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~+/=")
_RUNS = bytes(b"x"[0] if byte in _OF_KEYS else b" "[0] for byte in range(256))
_SHORTEST = b"x" * 16
_MANY_RUNS = 4096  # remembered, of one body
_LONG_RUN = 4096  # characters; a file in base64 and the like
_AT_A_TIME = 1 << 17  # bytes of one that are looked at in one go: other threads wait for no more than that


def without_keys(data: bytes) -> bytes:
    """Return bytes in which everything that has the shape of a key is ``[key]``."""
    if b"PRIVATE KEY" in data:
        data = _PRIVATE_KEY.sub(b"[key]", data)
    found = [match.span() for begin, end in _suspicious_runs(data) for match in KEY_SHAPES.finditer(data, begin, end)]
    if not found:
        return data
    ends = [0, *(end for _, end in found)]
    return b"[key]".join([*(data[end:begin] for end, (begin, _) in zip(ends, found, strict=False)), data[ends[-1] :]])


def _suspicious_runs(data: bytes) -> list[tuple[int, int]]:
    """Return where a key may stand: runs of 16 or more characters of those that keys have, with a sign of one in them.

    Each run is looked at once, however often it occurs: that takes a fifth of the time of looking for the shapes everywhere.
    """
    found: list[tuple[int, int]] = []
    runs = data.translate(_RUNS)
    innocent: set[bytes] = set()
    at = runs.find(_SHORTEST)
    while at >= 0:
        end = runs.find(b" ", at)
        end = len(data) if end < 0 else end
        if end - at > _LONG_RUN:
            found += _places_in(data, at, end)
        elif (run := data[at:end]) not in innocent:
            if _SIGNS.search(run) or data[max(0, at - 7) : at].lower() == b"bearer ":
                found.append((at, end))
            elif len(innocent) < _MANY_RUNS:
                innocent.add(run)
        at = runs.find(_SHORTEST, end)
    return found


def _places_in(data: bytes, at: int, end: int) -> list[tuple[int, int]]:
    """Return where a key may stand in a long run; base64, which has none of the characters that keys begin with, holds none."""
    if not any(data.find(mark, at, end) >= 0 for mark in (b"-", b"_", b".")):
        return []
    found: list[tuple[int, int]] = []
    for begin in range(at, end, _AT_A_TIME):
        for sign in _SIGNS.finditer(data, begin, min(end, begin + _AT_A_TIME + 16)):
            start = max(at, sign.start() - 16, found[-1][1] if found else 0)
            if start < sign.end():
                found.append((start, min(end, sign.end() + _LONG_RUN)))
    return found


def without_what_is_called_a_key(text: str) -> str:
    """Return a text in which keys, what is called a key or a password, and the password of an address are ``[key]``."""
    return _IN_ADDRESS.sub(r"\1:[key]@", _NAMED.sub(r"\1\2[key]", _KEY.sub("[key]", text)))
