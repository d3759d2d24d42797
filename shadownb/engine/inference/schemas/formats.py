"""Formats of texts: the library's own, those that an expression of a part of them stands for, and dates that exist."""

from __future__ import annotations

from typing import Any

from shadownb.engine.inference.schemas.documents import mapped

# February has 28 days here, and years four digits without a leading zero: what any calendar's reader takes.
_DATE = r"[1-9][0-9]{3}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))"
_CLOCK = (
    r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"  # no leap second
)
_POINTER = r"(/([^~/]|~[01])*)*"

_EXPRESSIONS = {
    "date": f"^{_DATE}$",
    "time": f"^{_CLOCK}$",
    "date-time": f"^{_DATE}T{_CLOCK}$",
    "json-pointer": f"^{_POINTER}$",
    "relative-json-pointer": f"^(0|[1-9][0-9]*)(#|{_POINTER})$",
    "uri-template": r"^[a-z]+(/[a-z0-9]+|/\{[a-z][a-z0-9]*\})*$",
    "uri-reference": r"^(/[A-Za-z0-9._-]+)+$",
    "iri-reference": r"^(/[A-Za-z0-9._-]+)+$",
    "idn-hostname": r"^[a-z][a-z0-9]{0,30}(\.[a-z][a-z0-9]{0,30}){0,3}$",
    "regex": r"^[A-Za-z0-9 _]*$",
}
_SAME = {"idn-email": "email", "iri": "uri"}  # what is of the second is of the first
_OWN = ("duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri")


def held(name: Any) -> dict[str, Any]:
    """Return the keywords by which a format is held; none for one that JSON Schema does not know, and so no reader checks."""
    if name in _EXPRESSIONS:
        return {"pattern": _EXPRESSIONS[name]}
    name = _SAME.get(name, name)
    return {"format": name} if name in _OWN else {}


def exact(schema: Any) -> Any:
    """Return a schema whose dates and times are those that exist; everything else in it is as it was."""
    if not isinstance(schema, dict):
        return schema
    found = mapped(schema, exact)
    if found.get("format") in ("date", "time", "date-time"):
        pattern = held(found.pop("format"))
        if "pattern" in found:
            found["allOf"] = [*found.get("allOf", ()), pattern]
        else:
            found.update(pattern)
    return found
