"""Objects and arrays closed to what none of the schemas in their place has spoken of: each way through these is a case."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from shadownb.engine.inference.schemas.arrays import containing
from shadownb.engine.inference.schemas.documents import Cannot
from shadownb.engine.inference.schemas.joining import Held, both, either
from shadownb.engine.inference.schemas.negation import against

if TYPE_CHECKING:
    from shadownb.engine.inference.schemas.rewriting import Rewriter

_MOST = 64  # ways
_DEEP = 12  # references in one place
_HERE = (
    "allOf", "anyOf", "oneOf", "if", "then", "else", "dependentSchemas", "$ref", "$dynamicRef", "$recursiveRef", "contains",
    "minContains", "maxContains", "unevaluatedProperties", "unevaluatedItems",
)  # fmt: skip


@dataclass(frozen=True)
class Way:
    """What has to hold on one way, and of what it speaks."""

    parts: tuple[Held, ...] = ()
    names: frozenset[str] = frozenset()
    patterns: frozenset[str] = frozenset()
    all_names: bool = False
    places: frozenset[int] = field(default_factory=frozenset)
    all_places: bool = False

    def with_(self, other: Way) -> Way:
        """Return both."""
        return Way(
            (*self.parts, *other.parts),
            self.names | other.names,
            self.patterns | other.patterns,
            self.all_names or other.all_names,
            self.places | other.places,
            self.all_places or other.all_places,
        )


def closed(rewriter: Rewriter, schema: dict[str, Any]) -> Held:
    """Return what accepts a part of what a schema with unevaluated items or properties accepts."""
    return either(*(both(*way.parts) for way in _ways(rewriter, schema, 0)))


def _ways(rewriter: Rewriter, schema: Any, deep: int) -> list[Way]:
    if not isinstance(schema, dict):
        return [Way()] if schema else []
    if deep > _DEEP:
        raise Cannot("unevaluatedProperties", "the schema refers to itself in the same place")
    said = rewriter.said(schema)
    groups = [[_own(rewriter, said, schema)]]
    for each in said.get("allOf") or ():
        groups.append(_ways(rewriter, each, deep))
    for key in ("$ref", "$dynamicRef"):
        if key in said:
            groups.append(_ways(rewriter, rewriter.target(schema, key), deep + 1))
    if "anyOf" in said:
        groups.append(list(_any(rewriter, said["anyOf"], deep)))
    if "oneOf" in said:
        groups.append(list(_one(rewriter, said["oneOf"], deep)))
    if "if" in said:
        yes = _all([_ways(rewriter, said["if"], deep), _ways(rewriter, said.get("then", True), deep)])
        no = Way((against(rewriter, said["if"]),))
        groups.append([*yes, *(no.with_(way) for way in _ways(rewriter, said.get("else", True), deep))])
    for name, each in (said.get("dependentSchemas") or {}).items():
        there = Way(({"required": [name]},))
        groups.append(
            [Way(({"properties": {name: False}},)), *(there.with_(way) for way in _ways(rewriter, each, deep))]
        )
    if "contains" in said:
        groups.append(list(_containing(rewriter, said)))
    return [_close(rewriter, said, way) for way in _all(groups) if False not in way.parts]


def _all(groups: list[list[Way]]) -> list[Way]:
    found = [Way()]
    for group in groups:
        found = [one.with_(other) for one, other in itertools.product(found, group)]
        found = [way for way in found if not any(part is False for part in way.parts)]
        if len(found) > _MOST:
            raise Cannot("unevaluatedProperties", f"there are more than {_MOST} ways through the schema")
    return found


def _own(rewriter: Rewriter, said: dict[str, Any], schema: dict[str, Any]) -> Way:
    part = rewriter.held({key: value for key, value in said.items() if key not in _HERE})
    return Way(
        (part,),
        frozenset(said.get("properties") or ()),
        frozenset(said.get("patternProperties") or ()),
        "additionalProperties" in said,
        frozenset(range(len(said.get("prefixItems") or ()))),
        "items" in said,
    )


def _any(rewriter: Rewriter, schemas: list[Any], deep: int) -> Iterator[Way]:
    """Yield the ways of each, and where there are few those of several at once, which speak of more."""
    each = [_ways(rewriter, schema, deep) for schema in schemas]
    for size in range(1, len(each) + 1 if len(each) <= 3 else 2):
        for chosen in itertools.combinations(each, size):
            yield from _all(list(chosen))


def _one(rewriter: Rewriter, schemas: list[Any], deep: int) -> Iterator[Way]:
    for number, schema in enumerate(schemas):
        others = [o for n, o in enumerate(schemas) if n != number and not rewriter.values.apart(schema, o)]
        refused = Way(tuple(against(rewriter, other) for other in others))
        yield from (way.with_(refused) for way in _ways(rewriter, schema, deep))


def _containing(rewriter: Rewriter, said: dict[str, Any]) -> Iterator[Way]:
    """Yield the ways to contain something; what counts has been spoken of."""
    least = said.get("minContains", 1)
    for start, part in enumerate(containing(rewriter, said)):
        yield Way((part,), places=frozenset(range(start, start + least)))


def _close(rewriter: Rewriter, said: dict[str, Any], way: Way) -> Way:
    found = way
    rest = said.get("unevaluatedProperties", True)
    if "unevaluatedProperties" in said:
        if not way.all_names and rest not in (True, {}):
            part = {"properties": dict.fromkeys(sorted(way.names), True), "additionalProperties": rewriter.held(rest)}
            if way.patterns:
                part["patternProperties"] = dict.fromkeys(sorted(way.patterns), True)
            found = found.with_(Way((part,)))
        found = found.with_(Way(all_names=True))
    rest = said.get("unevaluatedItems", True)
    if "unevaluatedItems" in said:
        if not way.all_places and rest not in (True, {}):
            other = rewriter.held(rest)
            length = max(way.places, default=-1) + 1
            first = [True if place in way.places else other for place in range(length)]
            found = found.with_(Way(({"prefixItems": first, "items": other},)))
        found = found.with_(Way(all_places=True))
    return found
