"""Records and journals for others to read: numbers, and texts that are ShadowNB's own; see :mod:`.vocabulary`."""

from __future__ import annotations

import re
from typing import Any

from shadownb.engine.doctor.tracebacks import Tracebacks
from shadownb.engine.doctor.vocabulary import LEFT_OUT, Vocabulary

# What a user, a template or a row has said, or where a user keeps things: nothing of it is looked at.
_NEVER = frozenset({"value", "known", "template_variables", "host"})  # the first two: prompts and tools that rows share
_MOST_ITEMS = 200  # of one list
_DEEPEST = 20  # lists and objects in each other
_VERSION = re.compile(r"\d{1,4}(?:\.(?:\d{1,10}|[a-z]{1,4}\d{1,6})){0,4}(?:(?:a|b|rc)\d{1,3})?(?:\+[a-z]{2,4}\d{0,4})?")
_HARDWARE = re.compile(r"[A-Za-z0-9 .,()@/_+-]{1,80}")
_WEIGHTS = re.compile(r"(?:hub:)?[0-9a-f]{64}")
_RUN = re.compile(r"(\d{8}-\d{6})-(.+)-([0-9a-f]{4})")
_CHECKPOINT = re.compile(r"step-\d{6}")
_HARDWARE_FIELDS = ("cpu", "accelerators", "system", "cuda", "driver")


class Redaction:
    """Keeps of JSON what says how a run went, and nothing of what it was about."""

    def __init__(self, words: Vocabulary, tracebacks: Tracebacks) -> None:
        self._words = words
        self._tracebacks = tracebacks

    def value(self, value: Any, within: tuple[str, ...] = ()) -> Any:
        """Return a value of JSON as it may be shown; ``within`` are the names of the fields that it stands in."""
        if isinstance(value, dict | list) and len(within) > _DEEPEST:
            return LEFT_OUT
        if isinstance(value, dict):
            return self._fields(value, within)
        if isinstance(value, list):
            return [self.value(item, (*within, within[-1] if within else "")) for item in value[:_MOST_ITEMS]]
        return self._text(value, within) if isinstance(value, str) else value

    def run_id(self, text: str) -> str:
        """Return a run's id; a method of the user's own has a name that is left out of it."""
        found = _RUN.fullmatch(text)
        if found is None:
            return LEFT_OUT
        method = found[2] if self._words.knows(found[2]) else "method"
        return f"{found[1]}-{method}-{found[3]}"

    def _fields(self, fields: dict[str, Any], within: tuple[str, ...]) -> dict[str, Any]:
        shown = {
            name: LEFT_OUT if name in _NEVER else self.value(item, (*within, name))
            for name, item in fields.items()
            if self._words.knows(name)
        }
        # A name that is not ours says something, and what it holds could be anything, numbers included.
        others = len(fields) - len(shown)
        return {**shown, **({LEFT_OUT: f"{others} field{'' if others == 1 else 's'}"} if others else {})}

    def _text(self, text: str, within: tuple[str, ...]) -> str:
        name = within[-1] if within else ""
        if name == "text" and "Traceback" in text:
            return self._tracebacks.told(text)
        if _CHECKPOINT.fullmatch(text):
            return text
        if name in ("run_id", "id", "parent", "run") and _RUN.fullmatch(text):
            return self.run_id(text)
        shape = None
        if "versions" in within:
            shape = _VERSION
        elif "hardware" in within and name in _HARDWARE_FIELDS:
            shape = _HARDWARE
        elif name == "base_hash":
            shape = _WEIGHTS
        return text if shape is not None and shape.fullmatch(text) else self._words.told(text)
