"""Which tokens a form allows next, by llguidance: one matcher an answer, whoever computes the logits."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from shadownb.engine.inference.constraint import Constraint, grammar_of, library
from shadownb.errors import ConfigError, ModelError

Allowed = npt.NDArray[np.bool_]

_lock = threading.Lock()
_tokenizers: weakref.WeakKeyDictionary[Any, dict[tuple[int, ...], Any]] = weakref.WeakKeyDictionary()


class Matcher:
    """Follows one answer: says which tokens may come next, and is told which came."""

    def __init__(self, tokenizer: Any, constraint: Constraint, stop_ids: Collection[int]) -> None:
        self._tokenizer = tokenizer
        self._stops = sorted(stop_ids)
        self._after = constraint.after
        self._before: list[int] = []  # what came so far of that which is free
        known = _library_tokenizer(tokenizer, self._stops)
        self._matcher = library().LLMatcher(known, grammar_of(constraint.kind, constraint.text), log_level=0)
        self._require()
        if constraint.begun:
            begun = tokenizer(constraint.begun, add_special_tokens=False)["input_ids"]
            if not self._matcher.consume_tokens(list(begun)):
                raise ConfigError(
                    f"The answer begins with {constraint.begun[:80]!r}, which its {constraint.kind} does not allow.",
                    fix="Begin it in the form that is asked for, or leave the beginning out.",
                )

    def allowed(self, size: int) -> Allowed:
        """Return for each of ``size`` tokens whether it may come next, shape (size,)."""
        if self._after:
            return np.ones(size, bool)
        found = np.unpackbits(np.frombuffer(self._matcher.compute_bitmask(), np.uint8), bitorder="little").astype(bool)
        self._require()
        mask = np.zeros(size, bool)
        mask[: min(size, len(found))] = found[:size]
        if any(
            mask[stop] for stop in self._stops if stop < size
        ):  # the library knows one end, a template may have several
            mask[[stop for stop in self._stops if stop < size]] = True
        return mask

    def take(self, token: int) -> None:
        """A token has come."""
        if self._after:
            self._before.append(token)
            said = self._tokenizer.decode(self._before[-64:], skip_special_tokens=False)
            if self._after in said:
                self._after = ""
            return
        if token not in self._stops:
            self._matcher.consume_token(token)
            self._require()

    @property
    def complete(self) -> bool:
        """Whether nothing can follow."""
        return not self._after and bool(self._matcher.is_stopped())

    def _require(self) -> None:
        if self._matcher.is_error():
            raise ModelError(
                f"The form of the answer could not be followed: {' '.join(self._matcher.get_error().split())[:300]}",
                fix="Give a simpler schema or grammar.",
            )


def _library_tokenizer(tokenizer: Any, stops: list[int]) -> Any:
    """Return llguidance's view of a tokenizer, made once: of 49,152 tokens it takes 0.2 s."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ConfigError(
            f"The tokenizer {type(tokenizer).__name__} cannot hold an answer to a form (schema, regex, grammar, tool_choice).",
            fix="Use a model whose tokenizer is a file tokenizer.json.",
        )
    with _lock:
        known = _tokenizers.setdefault(tokenizer, {})
        key = tuple(stops)
        if key not in known:
            known[key] = library().LLTokenizer(_as_json(backend), eos_token=stops or None)
        return known[key]


def _as_json(backend: Any) -> str:
    from copy import copy

    plain = copy(backend)
    plain.no_padding()
    plain.no_truncation()
    return str(plain.to_str())
