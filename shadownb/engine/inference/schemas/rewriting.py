"""From a schema to one of the library's keywords that accepts a part of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from shadownb.engine.inference.schemas import arrays, formats, names, unevaluated
from shadownb.engine.inference.schemas.documents import Cannot, Document
from shadownb.engine.inference.schemas.drafts import is_old, modern
from shadownb.engine.inference.schemas.finite import Values
from shadownb.engine.inference.schemas.joining import Held, as_boolean, both, either
from shadownb.engine.inference.schemas.negation import against

PLAIN = (
    "type", "enum", "const", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength",
    "pattern", "required", "minProperties", "maxProperties", "minItems", "maxItems",
)  # fmt: skip
_OTHERS = (
    "not", "if", "contains", "uniqueItems", "propertyNames", "dependentRequired", "dependentSchemas", "oneOf", "anyOf", "allOf",
    "$ref", "$dynamicRef", "unevaluatedProperties", "unevaluatedItems",
)  # fmt: skip
_MOST = 20_000  # schemas that one may become


class Rewriter:
    """Rewrites the schemas of a document.

    Attributes
    ----------
    sites
        What was made of a keyword that is held by a part of it: (keyword, the part, what was left out). Where the part accepts
        nothing, the keyword cannot be held.
    """

    def __init__(self, root: dict[str, Any]) -> None:
        self.document = Document(root)
        self.document.check()
        self.values = Values(self.document)
        self.old = is_old(root)
        self.sites: list[tuple[str, Held, str]] = []
        self.lost: list[str] = []
        self._defs: dict[str, Any] = {}
        self._known: dict[tuple[int, bool], str] = {}
        self._left: list[Callable[[], None]] = []
        self._made = 0

    def whole(self) -> dict[str, Any]:
        """Return the root rewritten, definitions included.

        Raises
        ------
        Cannot
            A keyword cannot be held.
        """
        found = self.held(self.document.root)
        while self._left:
            self._left.pop()()
        if isinstance(found, bool):
            found = {} if found else {"enum": []}
        return self.with_definitions(found)

    def with_definitions(self, schema: Held) -> dict[str, Any]:
        """Return a part as a schema of its own."""
        plain = schema if isinstance(schema, dict) else {} if schema else {"enum": []}
        return {**plain, "$defs": self._defs} if self._defs else dict(plain)

    def said(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Return a schema's keywords in those of today."""
        return modern(schema, old=self.old)

    def held(self, schema: Any) -> Held:
        """Return what accepts a part of what a schema accepts."""
        if not isinstance(schema, dict):
            return as_boolean(schema)
        self._made += 1
        if self._made > _MOST:
            raise Cannot("the schema", f"it becomes more than {_MOST:,} schemas")
        said = self.said(schema)
        if any(said.get(key, True) not in (True, {}) for key in ("unevaluatedProperties", "unevaluatedItems")):
            return unevaluated.closed(self, schema)
        if ("enum" in said or "const" in said) and any(key in said for key in _OTHERS):
            few = self.values.of(schema)
            if few is not None:
                return {"enum": few} if few else False
        return both(
            self.local(schema), *(part for key in _OTHERS if key in said for part in self._other(said, key, schema))
        )

    def local(self, schema: dict[str, Any]) -> Held:
        """Return what is held of a schema's keywords apart from those that apply others in the same place."""
        said = self.said(schema)
        found = {key: said[key] for key in PLAIN if key in said}
        for key in ("properties", "patternProperties"):
            if isinstance(said.get(key), dict):
                found[key] = {name: self.held(each) for name, each in said[key].items()}
        for key in ("additionalProperties", "items"):
            if key in said:
                found[key] = self.held(said[key])
        if isinstance(said.get("prefixItems"), list):
            found["prefixItems"] = [self.held(each) for each in said["prefixItems"]]
        extra = formats.held(said.get("format"))
        if "pattern" in found and "pattern" in extra:
            return both(found, extra)
        return {**found, **extra}

    def _other(self, said: dict[str, Any], key: str, schema: dict[str, Any]) -> list[Held]:
        """Return what is held of a keyword that the library lacks, or that applies schemas in the same place."""
        value = said[key]
        if key in ("$ref", "$dynamicRef"):
            return [self.reference(self.target(schema, key))]
        if key == "allOf":
            return [self.held(each) for each in value]
        if key == "anyOf":
            return [either(*(self.held(each) for each in value))]
        if key == "oneOf":
            return [self.one_of(value)]
        if key == "not":
            return [self._site("not", lambda: against(self, value), said)]
        if key == "if":
            return [self._site("if", lambda: self.cases(said), said)]
        if key == "dependentRequired":
            return [
                either({"properties": {name: False}}, {"required": list(needs)})
                for name, needs in value.items()
                if needs
            ]
        if key == "dependentSchemas":
            return [either({"properties": {name: False}}, self.held(each)) for name, each in value.items()]
        if key == "contains":
            return [self._site("contains", lambda: either(*arrays.containing(self, said)), said)]
        if key == "uniqueItems":
            return [arrays.distinct(self, said, schema)] if value else []
        if key == "propertyNames":
            return [names.restricted(self, said)]
        return []

    def one_of(self, schemas: list[Any]) -> Held:
        """Return what exactly one of these accepts: each without those that may accept the same."""

        def alone(number: int) -> Held:
            others = [o for n, o in enumerate(schemas) if n != number and not self.values.apart(schemas[number], o)]
            return both(self.held(schemas[number]), *(against(self, other) for other in others))

        return either(*(self._site("oneOf", partial(alone, number), {}) for number in range(len(schemas))))

    def cases(self, said: dict[str, Any]) -> Held:
        """Return what if, then and else accept."""
        then, other = said.get("then", True), said.get("else", True)
        if then in (True, {}) and other in (True, {}):
            return True
        yes, no = self.held(then), self.held(other)
        always = both(yes, no) if then in (True, {}) or other in (True, {}) else False
        return either(both(self.held(said["if"]), yes), both(against(self, said["if"]), no), always)

    def _site(self, key: str, make: Callable[[], Held], said: dict[str, Any]) -> Held:
        """Return a part, and keep it to be looked at where something of it was lost."""
        before, self.lost = self.lost, []
        found = make()
        if self.lost:
            kind = {"type": said["type"]} if "type" in said else {}
            self.sites.append((key, both(found, kind), self.lost[0]))
        self.lost = before + self.lost
        return found

    # -- references ---------------------------------------------------------------------------------------------------

    def target(self, schema: dict[str, Any], key: str) -> Any:
        """Return what a reference of a schema names."""
        return self.document.target(schema, key if key in schema else "$recursiveRef")

    def reference(self, target: Any, *, accepts: bool = True) -> Held:
        """Return a reference to what accepts a part of the target, or of everything else."""
        if not isinstance(target, dict):
            return bool(target) is accepts
        key = id(target), accepts
        if key not in self._known:
            name = self._known[key] = f"{len(self._known)}"
            self._defs[name] = {}

            def make() -> None:
                found = self.held(target) if accepts else against(self, target)
                self._defs[name] = found if isinstance(found, dict) else {} if found else {"enum": []}

            self._left.append(make)
        return {"$ref": f"#/$defs/{self._known[key]}"}
