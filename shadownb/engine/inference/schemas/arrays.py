"""Arrays that contain something, and arrays without two equal items."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from shadownb.engine.inference.schemas.documents import Cannot
from shadownb.engine.inference.schemas.finite import mark
from shadownb.engine.inference.schemas.joining import Held
from shadownb.engine.inference.schemas.negation import against

if TYPE_CHECKING:
    from shadownb.engine.inference.schemas.rewriting import Rewriter

_LISTED = 600  # arrays that are written out
_FREE = 3  # places before what is contained


def containing(rewriter: Rewriter, said: dict[str, Any]) -> Iterator[Held]:
    """Yield the ways to contain so many: those that count stand together, behind none to a few others."""
    least, most = said.get("minContains", 1), said.get("maxContains")
    if most is not None and most < least:
        return
    one = rewriter.held(said["contains"])
    rest: Held = True if most is None else against(rewriter, said["contains"])
    if not least:
        yield {} if most is None else {"prefixItems": [True] * most, "items": rest}
        return
    spare = [True] * (0 if most is None else most - least)
    for start in range(max(_FREE, len(said.get("prefixItems") or ()) + 1)):
        yield {"minItems": start + least, "prefixItems": [*[rest] * start, *[one] * least, *spare], "items": rest}


def distinct(rewriter: Rewriter, said: dict[str, Any], schema: dict[str, Any]) -> Held:
    """Return arrays without two equal items.

    Raises
    ------
    Cannot
        There may be many of them.
    """
    slots, rest = said.get("prefixItems") or [], said.get("items", True)
    open_ended = "items" not in said and not said.get("contains")  # what comes behind is not described
    high = said.get("maxItems", len(slots) if rest is False else None)
    if high is not None and high < 2:
        return True
    limit = high if high is not None else max(len(slots), 1) if open_ended else None
    if (limit is not None and limit <= len(slots)) or rest is False:
        pairs = itertools.combinations(slots, 2)
        if all(rewriter.values.apart(one, other) for one, other in pairs):
            return {"maxItems": len(slots)}
    found = _listed(rewriter, said, schema, slots, rest, limit)
    if found is not None:
        others = [kind for kind in sorted(rewriter.values.types(said)) if kind != "array"]
        arrays: list[Held] = [{"enum": found}] if found else []
        return {"anyOf": [*arrays, *([{"type": others}] if others else [])]}
    if "array" not in rewriter.values.types({"type": said.get("type", [])}):
        return {"maxItems": 1}
    raise Cannot("uniqueItems", "items can be kept apart only where they are few: an enum, booleans, constants")


def _listed(
    rewriter: Rewriter, said: dict[str, Any], schema: Any, slots: list[Any], rest: Any, limit: int | None
) -> list[Any] | None:
    """Return the arrays, in the order of their values where all orders would be too many; None where they cannot be listed."""
    values = [rewriter.values.of(slot) for slot in slots]
    tail = rewriter.values.of(rest) if limit is None or limit > len(slots) else []
    if any(each is None for each in values) or tail is None:
        return None
    longest = min(limit if limit is not None else len(slots) + len(tail), len(slots) + len(tail))
    ordered = not slots and _arrangements(len(tail), longest) > _LISTED
    if ordered and 2 ** len(tail) > 2 * _LISTED:
        return None
    found: list[Any] = []
    for length in range(said.get("minItems", 0), longest + 1):
        if ordered:
            ways: Any = itertools.combinations(tail, length)
        else:
            ways = itertools.product(*[*(v or [] for v in values), *[tail] * length][:length])
        for way in ways:
            if len({mark(each) for each in way}) == length and rewriter.values.valid(schema, list(way)):
                found.append(list(way))
                if len(found) > 2 * _LISTED:
                    return None
    return found


def _arrangements(count: int, longest: int) -> int:
    total = ways = 1
    for taken in range(longest):
        ways *= count - taken
        total += ways
    return total
