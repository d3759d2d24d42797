"""The values of a schema where they are few, and whether two schemas can have one in common."""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any

from shadownb.engine.inference.schemas.documents import Cannot, Document
from shadownb.engine.inference.schemas.drafts import is_old, modern

TYPES = ("null", "boolean", "number", "string", "array", "object")
_FEW = 64
_DEEP = 6


def kind_of(value: Any) -> str:
    """Return the JSON type of a value; integers are numbers."""
    if value is None:
        return "null"
    names = {bool: "boolean", int: "number", float: "number", str: "string", list: "array", dict: "object"}
    return names[type(value)]


def mark(value: Any) -> str:
    """Return what is the same for values that JSON Schema takes for equal, and for no others."""

    def plain(each: Any) -> Any:
        if isinstance(each, float) and each.is_integer():
            return int(each)
        if isinstance(each, list):
            return [plain(one) for one in each]
        return {key: plain(one) for key, one in each.items()} if isinstance(each, dict) else each

    return json.dumps(plain(value), sort_keys=True)


class Values:
    """Looks for few values of the schemas of a document."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._old = is_old(document.root)

    @cached_property
    def _validator(self) -> Any:
        import jsonschema  # 0.1 s, which most forms do not need

        kind = jsonschema.validators.validator_for(self._document.root, default=jsonschema.Draft202012Validator)
        return kind(self._document.root, format_checker=kind.FORMAT_CHECKER)

    def valid(self, schema: Any, value: Any) -> bool | None:
        """Return whether a value is of a schema; None where that cannot be said."""
        if self._document.nested and "$ref" in json.dumps(schema):
            return None  # it would look for the target from the root
        try:
            return bool(self._validator.evolve(schema=schema).is_valid(value))
        except Exception:  # an expression that it does not read, a reference to nothing
            return None

    def of(self, schema: Any, deep: int = 0) -> list[Any] | None:
        """Return all values of a schema; None where they are many, or it is not plain how many."""
        if not isinstance(schema, dict) or deep > _DEEP:
            return [] if schema is False else None
        said = modern(schema, old=self._old)
        found = self._listed(said, deep)
        if found is None:
            return None
        checked = [(value, self.valid(schema, value)) for value in found]
        if any(fits is None for _, fits in checked):
            return None
        return list({mark(value): value for value, fits in checked if fits}.values())

    def _listed(self, schema: dict[str, Any], deep: int) -> list[Any] | None:
        if "const" in schema:
            return [schema["const"]]
        if isinstance(schema.get("enum"), list):
            return list(schema["enum"])
        if isinstance(schema.get("$ref"), str):
            try:
                return self.of(self._document.target(schema, "$ref"), deep + 1)
            except Cannot:
                return None
        if isinstance(schema.get("anyOf"), list):
            parts = [self.of(each, deep + 1) for each in schema["anyOf"]]
            return None if any(part is None for part in parts) else [value for part in parts for value in part or ()]
        kinds = self.types(schema)
        found: list[Any] = []
        for kind in sorted(kinds):
            if kind == "null":
                found.append(None)
            elif kind == "boolean":
                found += [False, True]
            elif kind == "number" and schema.get("type") == "integer":
                low, high = schema.get("minimum"), schema.get("maximum")
                if not isinstance(low, int) or not isinstance(high, int) or high - low >= _FEW:
                    return None
                found += range(low, high + 1)
            else:
                return None
        return found

    def types(self, schema: Any) -> set[str]:
        """Return the types that a schema's own keywords leave."""
        if not isinstance(schema, dict):
            return set() if schema is False else set(TYPES)
        said = schema.get("type")
        names = {said} if isinstance(said, str) else set(said) if isinstance(said, list) else set(TYPES)
        found = {"number" if name == "integer" else name for name in names}
        if "const" in schema:
            found &= {kind_of(schema["const"])}
        if isinstance(schema.get("enum"), list):
            found &= {kind_of(value) for value in schema["enum"]}
        return found

    def apart(self, one: Any, other: Any, deep: int = 0) -> bool:
        """Return whether two schemas have no value in common, as far as that is plain."""
        if deep > _DEEP:
            return False
        one, other = self._followed(one), self._followed(other)
        kinds = self.types(one) & self.types(other)
        if not kinds:
            return True
        if not isinstance(one, dict) or not isinstance(other, dict):
            return False
        few, more = self.of(one), self.of(other)
        if few is not None and more is not None:
            return not {mark(value) for value in few} & {mark(value) for value in more}
        if kinds != {"object"}:
            return False
        common = {*(one.get("required") or ())} & {*(other.get("required") or ())}
        ours, theirs = one.get("properties") or {}, other.get("properties") or {}
        return any(self.apart(ours.get(name, True), theirs.get(name, True), deep + 1) for name in sorted(common))

    def _followed(self, schema: Any) -> Any:
        for _ in range(_DEEP):
            if not (isinstance(schema, dict) and isinstance(schema.get("$ref"), str)):
                break
            if {*schema} - {"$ref", "title", "description", "default"}:
                break
            try:
                schema = self._document.target(schema, "$ref")
            except Cannot:
                break
        return schema
