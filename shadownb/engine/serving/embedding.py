"""``/v1/embeddings``: vectors of texts, by the sentence encoder that the facts of a model are found with."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from shadownb.engine.capture.dialects import WireError
from shadownb.errors import did_you_mean

if TYPE_CHECKING:
    from shadownb.engine.serving.engine import Embeds

_MOST = 2048  # texts in one request, as OpenAI's API has it
_FIELDS = ("model", "input", "encoding_format", "user", "dimensions")


@dataclass(frozen=True)
class AskedVectors:
    """A request for vectors."""

    embedder: Embeds
    texts: list[str]
    as_base64: bool


class SentenceEmbedder:
    """The sentence encoder of the package, under the name of its model."""

    name = "all-MiniLM-L6-v2"

    def vectors(self, texts: Sequence[str]) -> tuple[list[list[float]], int]:
        """Return a vector of length 1 for each text, and how many tokens were read."""
        from shadownb.engine.embedding import embedder

        known = embedder()
        return known.embed(list(texts)).tolist(), known.tokens(texts)


def asked(request: dict[str, Any], embedders: Mapping[str, Embeds]) -> AskedVectors:
    """Read a request. Raises :class:`WireError` 400 or 404."""
    if odd := next((name for name in request if name not in _FIELDS), None):
        raise WireError(
            400,
            f"Unknown field {odd[:80]!r}.{did_you_mean(odd[:80], list(_FIELDS))}",
            param=odd[:80],
            code="unknown_parameter",
        )
    name = request.get("model")
    if not isinstance(name, str):
        raise WireError(400, "The field 'model' is missing.", param="model", code="missing_required_parameter")
    if name not in embedders:
        known = ", ".join(embedders) or "none"
        raise WireError(
            404, f"{name[:100]!r} gives no embeddings here. Models for embeddings: {known}.", param="model",
            code="model_not_found",
        )  # fmt: skip
    given = request.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text for text in texts):
        raise WireError(
            400,
            "The field 'input' must be a text or a list of texts, none of them empty.",
            param="input",
            code="invalid_type",
        )
    if len(texts) > _MOST:
        raise WireError(400, f"'input' has {len(texts)} texts; at most {_MOST}.", param="input", code="invalid_value")
    if request.get("dimensions") is not None:
        raise WireError(
            400, f"{name} does not support the field 'dimensions'.", param="dimensions", code="unsupported_parameter"
        )
    form = request.get("encoding_format")
    if form not in (None, "float", "base64"):
        raise WireError(
            400, f"encoding_format={str(form)[:40]!r} is not known: float or base64.", param="encoding_format",
            code="invalid_value",
        )  # fmt: skip
    return AskedVectors(embedders[name], texts, form == "base64")


def answer(wanted: AskedVectors) -> dict[str, Any]:
    """Return the answer as OpenAI's API has it."""
    vectors, tokens = wanted.embedder.vectors(wanted.texts)

    def written(vector: list[float]) -> Any:
        return base64.b64encode(np.asarray(vector, "<f4").tobytes()).decode() if wanted.as_base64 else vector

    return {
        "object": "list",
        "model": wanted.embedder.name,
        "data": [
            {"object": "embedding", "index": number, "embedding": written(each)} for number, each in enumerate(vectors)
        ],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }
