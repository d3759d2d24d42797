"""Schemas of older drafts in today's keywords (draft 2020-12), one schema at a time; what stands in it is left as it is."""

from __future__ import annotations

from typing import Any

_WHOLE = (
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "minContains",
    "maxContains",
)


def is_old(root: dict[str, Any]) -> bool:
    """Return whether a schema says that it is of draft 7 or before, where nothing beside a ``$ref`` counts."""
    said = str(root.get("$schema", ""))
    return any(f"draft-0{number}" in said for number in (3, 4, 6, 7))


def modern(schema: dict[str, Any], *, old: bool) -> dict[str, Any]:
    """Return a schema in today's keywords."""
    if old and "$ref" in schema:
        return {"$ref": schema["$ref"]}
    found = dict(schema)
    if "$recursiveRef" in found:
        found["$dynamicRef"] = found.pop("$recursiveRef")
    if isinstance(found.get("items"), list):
        found["prefixItems"] = found.pop("items")
        if "additionalItems" in found:
            found["items"] = found.pop("additionalItems")
    for low, high in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if isinstance(found.get(high), bool) and found.pop(high) and low in found:
            found[high] = found.pop(low)
    for key, value in (found.pop("dependencies", None) or {}).items():
        name = "dependentRequired" if isinstance(value, list) else "dependentSchemas"
        found[name] = {**found.get(name, {}), key: value}
    for key in _WHOLE:
        if isinstance(found.get(key), float) and found[key].is_integer():
            found[key] = int(found[key])
    return found
