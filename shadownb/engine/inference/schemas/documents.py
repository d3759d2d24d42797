"""A schema with what its references name: ids, anchors and pointers, looked for in the schema itself and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin

Schema = dict[str, Any] | bool

_ONE = (
    "not", "if", "then", "else", "items", "contains", "additionalProperties", "additionalItems", "propertyNames",
    "unevaluatedItems", "unevaluatedProperties", "contentSchema",
)  # fmt: skip
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems", "items")
_MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies")


class Cannot(Exception):
    """A keyword that cannot be held, and why."""

    def __init__(self, keyword: str, why: str) -> None:
        super().__init__(f"{keyword}: {why}")


def children(schema: dict[str, Any]) -> Iterator[Any]:
    """Yield the schemas that stand in a schema."""
    for key in _ONE:
        if isinstance(schema.get(key), dict | bool):
            yield schema[key]
    for key in _LISTS:
        if isinstance(schema.get(key), list):
            yield from schema[key]
    for key in _MAPS:
        if isinstance(schema.get(key), dict):
            yield from (value for value in schema[key].values() if isinstance(value, dict | bool))


def walk(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield a schema and all that stand in it."""
    left = [schema]
    while left:
        each = left.pop()
        if isinstance(each, dict):
            yield each
            left += children(each)


def mapped(schema: dict[str, Any], change: Callable[[Any], Any]) -> dict[str, Any]:
    """Return a schema with the schemas that stand in it changed."""
    found = dict(schema)
    for key in _ONE:
        if isinstance(schema.get(key), dict | bool):
            found[key] = change(schema[key])
    for key in _LISTS:
        if isinstance(schema.get(key), list):
            found[key] = [change(each) for each in schema[key]]
    for key in _MAPS:
        if isinstance(schema.get(key), dict):
            found[key] = {
                name: change(each) if isinstance(each, dict | bool) else each for name, each in schema[key].items()
            }
    return found


class Document:
    """A root schema, and where its references lead."""

    def __init__(self, root: dict[str, Any]) -> None:
        self.root = root
        self._resources: dict[str, Any] = {"": root}
        self._anchors: dict[tuple[str, str], Any] = {}
        self._dynamic: dict[str, list[Any]] = {}
        self._bases: dict[int, str] = {}
        self._recursive = 0
        self._index(root, "")

    def _index(self, schema: Any, base: str) -> None:
        if not isinstance(schema, dict) or id(schema) in self._bases:
            return
        named = schema.get("$id", schema.get("id"))
        if isinstance(named, str):
            whole, fragment = urldefrag(urljoin(base, named))
            if fragment:  # of drafts in which an id that is a fragment was an anchor
                self._anchors[whole or base, fragment] = schema
            else:
                base = whole
                self._resources[base] = schema
        self._bases[id(schema)] = base
        for key in ("$anchor", "$dynamicAnchor"):
            if isinstance(schema.get(key), str):
                self._anchors[base, schema[key]] = schema
        self._recursive += schema.get("$recursiveAnchor") is True
        if isinstance(schema.get("$dynamicAnchor"), str):
            self._dynamic.setdefault(schema["$dynamicAnchor"], []).append(schema)
        for each in children(schema):
            self._index(each, base)

    def check(self) -> None:
        """Raise Cannot where a schema refers to itself in the same place, so that nothing says what it accepts."""
        checked: set[int] = set()

        def go(schema: Any, above: frozenset[int]) -> None:
            if not isinstance(schema, dict) or id(schema) in checked:
                return
            if id(schema) in above:
                raise Cannot("$ref", "the schema refers to itself in the same place")
            for each in self._in_place(schema):
                go(each, above | {id(schema)})
            checked.add(id(schema))

        for schema in list(walk(self.root)):
            go(schema, frozenset())

    def _in_place(self, schema: dict[str, Any]) -> Iterator[Any]:
        for key in ("allOf", "anyOf", "oneOf"):
            yield from schema[key] if isinstance(schema.get(key), list) else ()
        yield from (schema[key] for key in ("not", "if", "then", "else") if key in schema)
        for key in ("dependentSchemas", "dependencies"):
            yield from schema[key].values() if isinstance(schema.get(key), dict) else ()
        yield from (self.target(schema, key) for key in ("$ref", "$dynamicRef", "$recursiveRef") if key in schema)

    @property
    def nested(self) -> bool:
        """Whether references in it do not all start from the root."""
        return len(self._resources) > 2 or len({*self._bases.values()}) > 1

    def target(self, schema: dict[str, Any], keyword: str) -> Any:
        """Return the schema that one's reference names.

        Raises
        ------
        Cannot
            It lies elsewhere, or depends on the way by which it was come to.
        """
        reference = schema[keyword]
        base = self._bases.get(id(schema), "")
        if not isinstance(reference, str):
            raise Cannot(keyword, "it is no text")
        if keyword == "$recursiveRef" and self._recursive > 1:
            raise Cannot(keyword, "it has several targets")
        whole, fragment = urldefrag(urljoin(base, reference) if base else reference)
        resource = self._resources.get(whole if whole or not base else base)
        if resource is None:
            raise Cannot(keyword, f"{reference!r} is not in the schema, and nothing is fetched")
        fragment = unquote(fragment)
        if fragment and not fragment.startswith("/"):
            found = self._anchors.get((whole, fragment))
            if found is None:
                raise Cannot(keyword, f"{reference!r} is not in the schema")
            if (
                keyword == "$dynamicRef"
                and found.get("$dynamicAnchor") == fragment
                and len(self._dynamic[fragment]) > 1
            ):
                raise Cannot(keyword, f"{reference!r} has several targets")
            return found
        found = resource
        for step in (each.replace("~1", "/").replace("~0", "~") for each in fragment.split("/")[1:]):
            if isinstance(found, list) and step.isdigit() and int(step) < len(found):
                found = found[int(step)]
            elif isinstance(found, dict) and step in found:
                found = found[step]
            else:
                raise Cannot(keyword, f"{reference!r} is not in the schema")
        if isinstance(found, dict) and id(found) not in self._bases:
            self._index(found, self._bases.get(id(resource), whole))  # of a place that holds no schemas by itself
        if not isinstance(found, dict | bool):
            raise Cannot(keyword, f"{reference!r} names no schema")
        return found
