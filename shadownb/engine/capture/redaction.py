"""The gate: whatever is stored of a call goes through a :class:`Redactor`, bodies, columns, headers and errors alike.

The upstream's key and the proxy's token are always taken out, however they are written (:mod:`spellings`), and so is what has the
shape of a key (:mod:`~shadownb.engine.privacy.keys`). ``redact=`` adds ready rules by name and functions ``text -> text``
(:mod:`~shadownb.engine.privacy.rules`). The bytes that pass through are never touched, and all of this is work of the writer's
thread.
"""

from __future__ import annotations

import hashlib
import secrets as random
from collections.abc import Iterable
from typing import Any

from shadownb.engine.capture import pieces
from shadownb.engine.capture.spellings import Spellings
from shadownb.engine.privacy.literals import changed_inside, rewritten
from shadownb.engine.privacy.rules import Rule, Rules, hashed

Frames = list[tuple[float, bytes]]

# Columns that we ourselves write, and no client or upstream.
_OURS = frozenset({"id", "parent", "retry_of", "dialect", "route", "status"})
_LONGEST = {"model": 200, "response_model": 200, "response_id": 200, "finish_reason": 100, "session": 200, "title": 160}
_LONGEST_VALUE = 300  # characters of a header
_LONGEST_ERROR = 4000
_DEEPEST, _MOST_FIELDS = 12, 100  # levels of an error, and fields of one level


class Redactor:
    """Applies rules to what is recorded.

    Parameters
    ----------
    rules
        Names of ready rules (``email``, ``iban``, ``card``, ``key``, ``address``, ``phone``, ``personal`` for all of them but
        ``key``, ``phone:DE``, ``name:FILE``), functions ``text -> text``, or one of these.
    secrets
        Strings that are always replaced, in everything that is stored. One of less than 12 characters is none: local
        servers take ``EMPTY`` or ``ollama`` as a key, and those words stay in what is recorded.
    lasting
        A secret that is the same the next time a capture goes on, so that what is taken out has the marks that it had; it is not
        kept. Without one each Redactor has marks of its own.

    Raises
    ------
    ConfigError
        A name is not one of the ready rules.
    """

    def __init__(
        self,
        rules: str | Rule | Iterable[str | Rule] | None = None,
        *,
        secrets: Iterable[str] = (),
        lasting: str | None = None,
    ) -> None:
        self._rules = Rules.of(rules)
        self.names = list(self._rules.names)
        self._spellings = Spellings(secrets)
        self._salt = hashlib.blake2b(lasting.encode()).digest() if lasting else random.token_bytes(16)
        self._mark_of = hashed(self._salt)

    def __repr__(self) -> str:
        return f"Redactor({self.names})"

    # -- texts ----------------------------------------------------------------------------------------------------

    def without_keys(self, text: str) -> str:
        """Return a text without keys; the other rules are not applied. For what is said about a capture, not in it."""
        return self._spellings.clean_text(text)

    def text(self, text: str | None) -> str | None:
        """Return one text after all rules; None where one raises: what could not be looked at is not kept."""
        if text is None:
            return None
        try:
            return changed_inside(text, self._apply)
        except Exception:
            return None

    def value(self, value: Any, longest: int, depth: int = _DEEPEST, *, clean: bool = False) -> Any:
        """Return an object of JSON with every text in it after all rules and no longer than ``longest`` characters.

        ``clean`` says that the texts have been looked at.
        """
        if isinstance(value, str):
            return (value if clean else self.text(value) or "")[:longest]
        if isinstance(value, dict | list) and depth == 0:
            return "(nested too deeply)"
        if isinstance(value, list):
            return [self.value(item, longest, depth - 1, clean=clean) for item in value[:_MOST_FIELDS]]
        if not isinstance(value, dict):
            return value
        shown = list(value.items())[:_MOST_FIELDS]
        return {
            self.value(str(key), longest, clean=clean): self.value(item, longest, depth - 1, clean=clean)
            for key, item in shown
        }

    def columns(self, columns: dict[str, Any]) -> dict[str, Any]:
        """Return the columns of a call as they may be stored. Texts are cut only now, so that no half of a key is left."""
        clean = not self._rules and self._is_clean(columns)
        found: dict[str, Any] = {}
        for name, value in columns.items():
            if name in _OURS or not isinstance(value, str | dict | list):
                found[name] = value
            elif isinstance(value, str):
                new = value if clean else self.text(value)
                if name == "session" and new is not None and new != value:
                    new = f"{new[:150]}-{self._mark(value)}"  # two users, whose names were taken out, are still two
                found[name] = new if new is None else new[: _LONGEST.get(name, _LONGEST_VALUE)]
            else:
                found[name] = self.value(value, _LONGEST_ERROR if name == "error" else _LONGEST_VALUE, clean=clean)
        return found

    def _is_clean(self, columns: dict[str, Any]) -> bool:
        """Whether no text of a row holds a key: looked at in one go, which takes a tenth of the time."""
        texts = "\n".join(str(value) for name, value in columns.items() if name not in _OURS and value)
        return "\\" not in texts and self._spellings.clean_text(texts) == texts

    # -- bodies ---------------------------------------------------------------------------------------------------

    def exchange(
        self, request: bytes, frames: Frames, *, sse: bool
    ) -> tuple[bytes, Frames, bool, dict[str, Any] | None]:
        """Return request and frames as they may be stored, whether something was taken out, and what went wrong.

        A rule that raises keeps both bodies out of the store: what could not be looked at is not kept.
        """
        body = b"".join(piece for _, piece in frames)
        try:
            new_request = self._body(request)
            new_body = self._stream(body) if sse else self._body(body)
            if new_body != body:
                new_body = pieces.without_spelling(new_body, sse=sse)
        except Exception as error:
            failure = {
                "message": f"redact raised {type(error).__name__}; the bodies were not stored",
                "type": "redaction",
            }
            return b"", [], True, failure
        changed = new_request != request or new_body != body
        if new_body != body:
            frames = [(frames[0][0], b""), (frames[-1][0], new_body)]
        return new_request, frames, changed, None

    def raw(self, data: bytes) -> bytes:
        """Return bytes of any kind without keys; the other rules are not applied."""
        return self._spellings.clean(data)

    # -- inside ---------------------------------------------------------------------------------------------------

    def _body(self, body: bytes) -> bytes:
        clean = self._spellings.clean(body)
        return rewritten(clean, self._apply) if self._rules else clean

    def _stream(self, body: bytes) -> bytes:
        clean = self._spellings.clean(body)
        if not self._rules:
            texts = pieces.texts(clean) if pieces.has_several_texts(clean) else [pieces.joined(clean)]
            if all(self._spellings.clean(text) == text for text in texts):
                return clean
        return pieces.clean_stream(clean, self._apply)

    def _apply(self, text: str) -> str:
        return self._spellings.clean_text(self._rules.apply(text, self._mark_of))

    def _mark(self, value: str) -> str:
        return hashlib.blake2b(value.encode("utf-8", "replace"), key=self._salt, digest_size=4).hexdigest()
