"""The front's description as OpenAPI 3.1, made of the table of fields, so that both say the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shadownb.engine.answering.fields import FIELDS

_TEXT: dict[str, Any] = {"type": "string"}
_NUMBER: dict[str, Any] = {"type": "number"}
_ROLES = ("system", "developer", "user", "assistant", "tool")
_CONTENT = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}, {"type": "null"}]}
_MESSAGE = {
    "type": "object",
    "properties": {"role": {"enum": list(_ROLES)}, "content": _CONTENT},
    "required": ["role"],
}
_KNOWN: dict[str, dict[str, Any]] = {
    "model": _TEXT,
    "stream": {"type": ["boolean", "null"]},
    "temperature": {"type": ["number", "null"], "minimum": 0, "maximum": 1000},
    "top_p": {"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 1},
    "min_p": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
    "top_k": {"type": ["integer", "null"], "minimum": -1},
    "seed": {"type": ["integer", "null"]},
    "n": {"type": ["integer", "null"], "minimum": 1, "maximum": 128},
    "max_tokens": {"type": ["integer", "null"], "minimum": 1},
    "max_completion_tokens": {"type": ["integer", "null"], "minimum": 1},
    "max_output_tokens": {"type": ["integer", "null"], "minimum": 1},
    "presence_penalty": {"type": ["number", "null"], "minimum": -2, "maximum": 2},
    "frequency_penalty": {"type": ["number", "null"], "minimum": -2, "maximum": 2},
    "repetition_penalty": {"type": ["number", "null"], "minimum": 0.01, "maximum": 100},
    "stop": {"anyOf": [_TEXT, {"type": "array", "items": _TEXT}, {"type": "null"}]},
    "stop_sequences": {"type": ["array", "null"], "items": _TEXT},
    "messages": {"type": "array", "items": _MESSAGE, "minItems": 1},
    "prompt": {"anyOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1}]},
    "input": {"anyOf": [_TEXT, {"type": "array", "items": {"type": "object"}}]},
    "instructions": {"type": ["string", "null"]},
    "system": {"anyOf": [_TEXT, {"type": "array", "items": {"type": "object"}}, {"type": "null"}]},
    "tools": {"type": ["array", "null"], "items": {"type": "object"}},
}
_REQUIRED = {
    "chat": ["model", "messages"], "completions": ["model", "prompt"], "responses": ["model", "input"],
    "messages": ["model", "messages", "max_tokens"],
}  # fmt: skip
_PATHS = {
    "/v1/chat/completions": "chat", "/v1/completions": "completions", "/v1/responses": "responses",
    "/v1/messages": "messages",
}  # fmt: skip
_ERROR = {
    "type": "object",
    "properties": {
        "error": {"type": "object", "properties": {"message": _TEXT, "type": _TEXT}, "required": ["message", "type"]}
    },
    "required": ["error"],
}


def description(version: str, models: Sequence[str], embedders: Sequence[str]) -> dict[str, Any]:
    """Return the description of a server with these models."""
    paths: dict[str, Any] = {path: {"post": _asking(dialect, models)} for path, dialect in _PATHS.items()}
    if embedders:
        paths["/v1/embeddings"] = {"post": _embedding(embedders)}
    paths["/v1/models"] = {"get": _operation("List the models.", {"type": "object"})}
    paths["/v1/models/{model}"] = {
        "get": {
            **_operation("Say what a model is.", {"type": "object"}, "404"),
            "parameters": [
                {"name": "model", "in": "path", "required": True, "schema": {"enum": [*models, *embedders]}}
            ],
        }
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "ShadowNB", "version": version},
        "paths": paths,
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "security": [{"token": []}],
    }


def _asking(dialect: str, models: Sequence[str]) -> dict[str, Any]:
    # What one engine refuses another may have, so a field that is merely named here may still be refused, by its name.
    fields = {name: _KNOWN.get(name, {}) for name in FIELDS[dialect]}
    fields["model"] = {"enum": list(models)}
    body = {"type": "object", "properties": fields, "required": _REQUIRED[dialect], "additionalProperties": False}
    found = _operation(f"Answer ({dialect}).", {"type": "object"}, "404", "413", "429", "503")
    found["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    # Without a schema: OpenAPI 3.1 has none for a stream of events, and tools take one for that of each event.
    found["responses"]["200"]["content"]["text/event-stream"] = {}
    return found


def _embedding(embedders: Sequence[str]) -> dict[str, Any]:
    texts = {"anyOf": [{**_TEXT, "minLength": 1}, {"type": "array", "items": {**_TEXT, "minLength": 1}, "minItems": 1}]}
    body = {
        "type": "object",
        "properties": {
            "model": {"enum": list(embedders)},
            "input": texts,
            "encoding_format": {"enum": ["float", "base64"]},
        },
        "required": ["model", "input"],
        "additionalProperties": False,
    }
    found = _operation("Make vectors of texts.", {"type": "object"}, "404", "413", "429")
    found["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return found


def _operation(summary: str, answer: dict[str, Any], *others: str) -> dict[str, Any]:
    def told(words: str, schema: dict[str, Any]) -> dict[str, Any]:
        return {"description": words, "content": {"application/json": {"schema": schema}}}

    statuses = ("400", "401", "403", "405", *others)
    return {
        "summary": summary,
        "responses": {"200": told("The answer.", answer)} | {s: told("Refused.", _ERROR) for s in statuses},
    }
