"""Answers of a schema as values: JSON, or instances of the pydantic model that was given."""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from typing import Any

from shadownb.errors import ModelError


def is_typed(schema: Any) -> bool:
    """Return whether a schema is a pydantic model, whose instances are wanted."""
    return inspect.isclass(schema) and hasattr(schema, "model_validate_json")


def value_of(schema: Any, text: str) -> Any:
    """Return an answer as a value; None where it was cut off, or is against what no grammar can hold (a validator)."""
    try:
        return schema.model_validate_json(text) if is_typed(schema) else json.loads(text)
    except ValueError:
        return None


def all_typed(schema: Any, texts: Sequence[str]) -> list[Any]:
    """Return answers as instances. Raises :class:`ModelError` where one of them is none."""
    found = [value_of(schema, text) for text in texts]
    bad = [text for text, value in zip(texts, found, strict=True) if value is None]
    if bad:
        raise ModelError(
            f"{len(bad)} of {len(texts)} answers are no {schema.__name__}: {bad[0][-120:]!r}.",
            why="It was cut off by max_new_tokens, or a validator of the class refuses it.",
            fix="Raise max_new_tokens, or ask by chat(): its replies have .parsed, which is None for these.",
        )
    return found
