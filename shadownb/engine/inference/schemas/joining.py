"""All of these schemas, one of these: with what is always or never true left out."""

from __future__ import annotations

from typing import Any

Held = dict[str, Any] | bool

# Keywords that mean something else beside those of other schemas.
_TOGETHER = {"properties", "patternProperties", "additionalProperties", "prefixItems", "items", "$ref"}


def as_boolean(schema: Any) -> bool:
    """Return a schema that is no object. Raises TypeError for what is no schema."""
    if not isinstance(schema, bool):
        raise TypeError(f"{schema!r} is no schema")
    return schema


def both(*schemas: Held) -> Held:
    """Return what all of them accept."""
    if any(each is False for each in schemas):
        return False
    kept = [each for each in schemas if isinstance(each, dict) and each]
    if len(kept) < 2:
        return kept[0] if kept else True
    keys = [key for each in kept for key in each]
    if len(keys) == len({*keys}) and not {*keys} & _TOGETHER:
        return {key: value for each in kept for key, value in each.items()}
    return {"allOf": kept}


def either(*schemas: Held) -> Held:
    """Return what one of them accepts."""
    if any(each is True or each == {} for each in schemas):
        return True
    kept = [each for each in schemas if each is not False]
    if len(kept) < 2:
        return kept[0] if kept else False
    return {"anyOf": kept}
