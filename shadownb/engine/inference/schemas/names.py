"""Objects whose names have to be of a schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shadownb.engine.inference.schemas import words
from shadownb.engine.inference.schemas.documents import Cannot
from shadownb.engine.inference.schemas.joining import Held

if TYPE_CHECKING:
    from shadownb.engine.inference.schemas.rewriting import Rewriter


_NONE = r"^[^\s\S]$"


def check_count(schema: dict[str, Any]) -> None:
    """Raise Cannot where an object needs several names that are free: the library lets one be written twice, and then it is one."""
    least = schema.get("minProperties", 0)
    free = schema.get("additionalProperties", True) is not False or schema.get("patternProperties")
    if isinstance(least, int | float) and least > max(len(schema.get("required") or ()), 0) + 1 and free:
        raise Cannot(
            "minProperties", f"names that are free may repeat, and {least} different ones cannot be made sure of"
        )


def restricted(rewriter: Rewriter, said: dict[str, Any]) -> Held:
    """Return what holds the names.

    Raises
    ------
    Cannot
        There is no single expression of them.
    """
    asked = said["propertyNames"]
    if not isinstance(asked, dict):
        return True if asked else {"additionalProperties": False}
    found = {name: True for name in said.get("properties") or {} if rewriter.values.valid(asked, name)}
    few = rewriter.values.of(asked)
    if few is not None:  # as properties, of which none is written twice
        return {"properties": {name: True for name in few if isinstance(name, str)}, "additionalProperties": False}
    pattern = _expression(rewriter, asked)
    if pattern is True:
        return True
    if pattern is None and "additionalProperties" in said and not said["additionalProperties"] and found:
        return {"properties": found, "additionalProperties": False}  # there are no others anyway
    if pattern is None:
        raise Cannot("propertyNames", "there is no expression of the names: give an enum, a pattern or their length")
    return {"patternProperties": {str(pattern): True}, "additionalProperties": False}


def _expression(rewriter: Rewriter, asked: dict[str, Any]) -> str | bool | None:
    """Return an expression of the names that a schema accepts; True for any, None where there is none."""
    target = asked
    if set(asked) & {"$ref"} and not set(asked) - {"$ref", "title", "description"}:
        target = rewriter.target(asked, "$ref")
        if not isinstance(target, dict):
            return bool(target)
    limits = {key: target[key] for key in ("pattern", "minLength", "maxLength", "format") if key in target}
    if set(target) - {*limits, "type", "title", "description", "$id", "$anchor", "default", "examples"}:
        return None
    if "type" in target and "string" not in rewriter.values.types({"type": target["type"]}):
        return _NONE
    if "pattern" in limits:
        return limits["pattern"] if len(limits) == 1 else None
    if "format" in limits:
        return None
    return words.of_length(int(limits.get("minLength", 0)), limits.get("maxLength")) if limits else True
