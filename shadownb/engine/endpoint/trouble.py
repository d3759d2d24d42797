"""What went wrong with one request: whether it is asked again, and the error that the user gets in the end."""

from __future__ import annotations

import email.utils
import math
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from shadownb.engine.capture.dialects.base import error_of, text_of
from shadownb.engine.capture.spellings import Spellings
from shadownb.engine.capture.target import Target
from shadownb.engine.jsontext import dumps, loads
from shadownb.errors import EndpointError

# What passes by itself. 409 and 425 are what gateways say of a request that came too early; 529 is Anthropic's "overloaded".
_AGAIN = frozenset({408, 409, 425, 429, *range(500, 600)}) - {501, 505}
_FOR_ALL = frozenset({401, 402, 404, 405, 407, 426})
_NO_CREDIT = re.compile(r"insufficient_quota|insufficient[ _]credits|insufficient balance|billing", re.IGNORECASE)
_SHOWN = 400  # characters of the server's own words
_NEXT = {
    "key": "Look at the key: api_key=, or api_key_env= with the name of its variable.",
    "address": "Look at base_url= (most end in /v1) and at model=.",
    "credit": "Look at the account's credit; what was answered until now is kept.",
    "request": "Change what the server names. extra_body={'temperature': None} takes a field out, for servers that refuse it.",
    "later": "Ask again later, ask less at a time (concurrency=), or wait longer (max_retries=).",
    "down": "Look whether the server runs and base_url= is its address.",
    "slow": "Give a longer timeout=, or a smaller max_new_tokens=.",
    "answer": "Look at what the server logs; the same question may get an answer another time.",
}


class Trouble(Exception):
    """One request that got no answer.

    Attributes
    ----------
    said
        What happened, as a clause: ``answered 429``.
    words
        The server's own words, as they came.
    counted
        A short name of the reason.
    again, for_all
        Whether another try may get an answer; whether every other conversation would fare the same.
    after
        Seconds that the server asks to be left alone, or None.
    """

    def __init__(
        self, said: str, words: str = "", *, counted: str, fix: str = "answer", status: int | None = None,
        again: bool = False, for_all: bool = False, after: float | None = None,
    ) -> None:  # fmt: skip
        super().__init__(said)
        self.said, self.words, self.counted, self.status = said, words, counted, status
        self.again, self.for_all, self.after, self._fix = again, for_all, after, fix

    @classmethod
    def of_status(cls, status: int, body: bytes, headers: Mapping[str, str], said: str = "") -> Trouble:
        """Read a refusal: an answer with a bad status, or one whose body names it."""
        words = words_of(body)
        no_credit = status in (402, 429) and _NO_CREDIT.search(words) is not None
        fix = (
            "credit" if no_credit or status == 402
            else "key" if status in (401, 403)
            else "address" if status in (200, 404, 405) or 300 <= status < 400
            else "later" if status in _AGAIN
            else "request"
        )  # fmt: skip
        return cls(
            said or f"answered {status}",
            words,
            counted=str(status),
            fix=fix,
            status=status,
            again=status in _AGAIN and not no_credit,
            for_all=status in _FOR_ALL or no_credit or 300 <= status < 400,
            after=_wait_of(headers),
        )

    @classmethod
    def of_transport(cls, error: Exception, timeout: float) -> Trouble:
        """Read what httpx raised; the texts are ours, since its own may hold addresses and headers."""
        kind = type(error).__name__
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            return cls(f"cannot be reached ({kind})", counted="no connection", fix="down", again=True)
        if isinstance(error, TimeoutError | httpx.TimeoutException):
            # It may still be writing: asked again it would write, and charge, twice.
            return cls(f"gave no answer within timeout={timeout:g} s", counted="timeout", fix="slow")
        if isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError):
            return cls(f"broke its answer off ({kind})", counted="broke off", fix="down", again=True)
        return cls(f"cannot be asked ({kind})", counted=kind, fix="down")

    def as_error(self, target: Target, model: str, tries: int) -> EndpointError:
        """Return the error for the user; nothing in it is the key."""
        after = f", after {tries} tries" if tries > 1 else ""
        asked = f" The server asks to wait {self.after:.0f} s." if self.after is not None else ""
        words = " ".join(Spellings(target.secrets).clean_text(self.words).split())
        if len(words) > _SHOWN:
            words = words[: _SHOWN - 4] + " ..."
        error = EndpointError(
            f"{target.shown} {self.said}, asked for model={model!r}{after}.",
            why=(f"The server says: {words}" if words else "") + asked,
            fix=_NEXT[self._fix],
        )
        error.status, error.for_all = self.status, self.for_all
        return error


def error_of_many(failed: Sequence[EndpointError], replies: Sequence[Any]) -> EndpointError:
    """Return the error of a question of several conversations: the first's, with what each got."""
    first = failed[0]
    error = EndpointError(
        first.what
        if len(replies) == 1
        else f"{len(failed)} of {len(replies)} conversations got no answer. {first.what}",
        why=first.why,
        fix=first.fix + (" error.replies has what the others got." if len(failed) < len(replies) else ""),
    )
    error.status, error.for_all, error.replies = first.status, any(each.for_all for each in failed), replies
    return error


def words_of(body: bytes) -> str:
    """Return what a refusal says: its message, else its text; of a page of HTML that it is one, and its title."""
    try:
        content = loads(body)
    except ValueError:
        text = body[:20_000].decode("utf-8", "replace")
        if not text.lstrip().startswith("<"):
            return text
        title = re.search(r"<title[^>]*>([^<]{0,200})", text, re.IGNORECASE)
        return "a page of HTML" + (f", {title[1].strip()!r}" if title else "")
    if isinstance(content, list) and content:  # Gemini
        content = content[0]
    if not isinstance(content, dict):
        return dumps(content)
    error = error_of(content) or {name: content[name] for name in ("message", "detail") if content.get(name)} or content
    message = text_of(error.get("message")) or text_of(error.get("detail"))
    kind = next((str(error[name]) for name in ("code", "type") if error.get(name)), "")
    metadata = error.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, dict) else None  # OpenRouter: what the provider behind it said
    said = " ".join(part for part in (message, f"({kind})" if kind and kind not in message else "") if part)
    return f"{said} {raw if isinstance(raw, str) else dumps(raw)}" if said and raw else said or dumps(error)


def status_of(error: Mapping[str, Any]) -> int:
    """Return the status that an error in a body stands for; 502 where it names none."""
    for name in ("status", "status_code", "code"):
        value = error.get(name)
        if isinstance(value, str) and value.isdecimal():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and 400 <= value < 600:
            return value
    kind = f"{error.get('type')} {error.get('code')}"
    known = {
        "rate_limit": 429, "overloaded": 529, "insufficient_quota": 402, "authentication": 401, "invalid_request": 400,
        "not_found": 404, "BadRequest": 400,
    }  # fmt: skip
    return next((status for word, status in known.items() if word in kind), 502)


def _wait_of(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of ``Retry-After`` (a number or a date), or of OpenAI's ``retry-after-ms``."""
    try:
        if given := headers.get("retry-after-ms"):
            return max(0.0, float(given) / 1000)
    except ValueError:
        pass
    given = (headers.get("retry-after") or "").strip()
    try:
        seconds = float(given)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(given).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
