"""The rules of ``redact=`` by name, and what they put in the place of what they find.

A ready rule says what it took out (``[email]``), and whoever applies it may say which: recordings mark each value with a short
hash under a key of their own (``[email 3f2a]``), so that one address is the same in every call of a conversation and no other;
rows to train on count them (``[email 1]``), because a model would learn to invent hashes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

from shadownb.engine.privacy import patterns
from shadownb.engine.privacy.keys import without_what_is_called_a_key
from shadownb.engine.privacy.patterns import Finder, Found
from shadownb.errors import ConfigError, did_you_mean

Mark = Callable[[str, str], str]
"""(kind, value) -> what stands in its place."""


@dataclass(frozen=True)
class Pattern:
    """A ready rule that finds one kind of thing; called with a text it gives the text without them."""

    kind: str
    find: Finder

    def __call__(self, text: str, mark: Mark = lambda kind, _: f"[{kind}]") -> str:
        """Return the text with ``mark(kind, value)`` in the place of each."""
        places = sorted(self.find(text), key=lambda found: (found.begin, -found.end))
        pieces, at = [], 0
        for found in _apart(places):
            pieces += [text[at : found.begin], mark(self.kind, found.value)]
            at = found.end
        return "".join([*pieces, text[at:]]) if pieces else text


def _apart(places: list[Found]) -> list[Found]:
    """Return places that do not overlap: of two that do, both together, under the longer one's value."""
    kept: list[Found] = []
    for found in places:
        if kept and found.begin < kept[-1].end:
            last = kept[-1]
            longer = max(last, found, key=lambda each: each.end - each.begin)
            kept[-1] = Found(last.begin, max(last.end, found.end), longer.value)
        else:
            kept.append(found)
    return kept


Rule: TypeAlias = Callable[[str], str]

# In the order in which they are applied: an account's number holds what looks like a card's, and both what looks like a phone's.
RULES: dict[str, Rule] = {
    "email": Pattern("email", patterns.emails),
    "iban": Pattern("iban", patterns.ibans),
    "card": Pattern("card", patterns.cards),
    "key": without_what_is_called_a_key,
    "address": Pattern("address", patterns.addresses),
    "phone": Pattern("phone", patterns.phones),
}
PERSONAL = ("email", "iban", "card", "address", "phone")
"""What ``"personal"`` stands for."""
_WITH_ARGUMENT: dict[str, Callable[[str], Finder]] = {"phone": patterns.phones_of, "name": patterns.names_in}
_KINDS = (*RULES, "name")
_PLACEHOLDER = re.compile(r"\[(email|iban|card|address|phone|name) ([0-9a-f]{4})\]")


def is_ready(name: str) -> bool:
    """Return whether a name is that of a ready rule, with or without an argument."""
    kind, _, argument = name.partition(":")
    return name in RULES or name == "personal" or (bool(argument) and kind in _WITH_ARGUMENT)


@dataclass(frozen=True)
class Rules:
    """Chosen rules, in the order in which they are applied.

    Attributes
    ----------
    names
        How they were given; of a function its name.
    kinds
        What they find. A function says so by an attribute ``covers``, for example ``("name",)`` of one that asks a model.
    """

    names: tuple[str, ...]
    chosen: tuple[Rule, ...]
    kinds: frozenset[str]

    @classmethod
    def of(cls, given: str | Rule | Iterable[str | Rule] | None) -> Rules:
        """Return them from what a user gave as ``redact=``.

        Raises
        ------
        ConfigError
            A name is not one of the rules, or its list of names or its country is none.
        """
        listed = [given] if isinstance(given, str) or callable(given) else list(given or ())
        names = [name for rule in listed for name in (PERSONAL if rule == "personal" else (rule,))]
        placed: list[tuple[int, Rule, str, tuple[str, ...]]] = []
        for rule in dict.fromkeys(names):
            if callable(rule):
                covers = tuple(getattr(rule, "covers", ()))
                placed.append((-1, rule, getattr(rule, "__name__", "function"), covers))
                continue
            kind, _, argument = str(rule).partition(":")
            if argument and kind in _WITH_ARGUMENT:
                found: Rule = Pattern(kind, _WITH_ARGUMENT[kind](argument))
            elif rule in RULES:
                found = RULES[rule]
            else:
                raise _unknown(rule)
            placed.append((_KINDS.index(kind), found, str(rule), (kind,)))
        ordered = sorted(placed, key=lambda each: each[0])
        return cls(
            tuple(name for *_, name, _ in placed),
            tuple(rule for _, rule, *_ in ordered),
            frozenset(kind for *_, kinds in placed for kind in kinds),
        )

    def __bool__(self) -> bool:
        return bool(self.chosen)

    def apply(self, text: str, mark: Mark) -> str:
        """Return a text after all rules. Raises ``TypeError`` where a function returns no text."""
        for rule in self.chosen:
            text = rule(text, mark) if isinstance(rule, Pattern) else rule(text)
            if not isinstance(text, str):
                raise TypeError("a rule must return text")
        return text

    def not_covered(self) -> tuple[str, ...]:
        """Return in words which personal data these rules do not look for."""
        missing = [_PLURALS[kind] for kind in (*PERSONAL, "name") if kind not in self.kinds]
        return tuple(
            [*missing, *(["addresses outside of the US, Canada and the UK"] if "address" in self.kinds else [])]
        )


_PLURALS = {
    "email": "e-mail addresses", "iban": "IBANs", "card": "card numbers", "address": "postal addresses",
    "phone": "phone numbers", "name": "names",
}  # fmt: skip


def _unknown(rule: Any) -> ConfigError:
    if rule == "name":
        return ConfigError(
            "redact='name' needs a list: names cannot be told from other words by their shape.",
            fix="Give a file with one name a line, 'name:customers.txt', or a function that asks a model of yours.",
        )
    known = [*RULES, "personal"]
    return ConfigError(
        f"redact={rule!r} is not a rule.{did_you_mean(str(rule), known)}",
        fix=f"Use {', '.join(map(repr, known))}, 'phone:DE', 'name:FILE', or a function that takes text and returns it.",
    )


def hashed(key: bytes) -> Mark:
    """Return marks that tell values apart under a key: one value has one mark, and without the key it says nothing of it."""

    def mark(kind: str, value: str) -> str:
        text = f"{kind}\0{value}".encode("utf-8", "replace")
        return f"[{kind} {hashlib.blake2b(text, key=key, digest_size=2).hexdigest()}]"

    return mark


class Numbers:
    """Marks of one row or episode: the first address in it is ``[email 1]``, and so on. What a recording marked counts, too.

    Attributes
    ----------
    taken
        How many places each kind was taken out of, now or when it was recorded.
    """

    def __init__(self) -> None:
        self.taken: dict[str, int] = {}
        self._known: dict[str, dict[str, int]] = {}

    def mark(self, kind: str, value: str) -> str:
        """Return the mark of a value."""
        self.taken[kind] = self.taken.get(kind, 0) + 1
        known = self._known.setdefault(kind, {})
        return f"[{kind} {known.setdefault(value, len(known) + 1)}]"

    def renumbered(self, text: str) -> str:
        """Return a text in which the hashes of a recording are numbers."""
        if "[" not in text:
            return text
        return _PLACEHOLDER.sub(lambda match: self.mark(match[1], f"recorded {match[2]}"), text)
