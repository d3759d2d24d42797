"""How well a model knows text: the mean log-probability of its tokens. On unrelated text the difference is what was forgotten."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from shadownb.engine.evals.suites.base import Item, Verdict
from shadownb.engine.evals.turns import Turn
from shadownb.engine.inference.types import Sampling
from shadownb.engine.jsontext import dumps
from shadownb.errors import ShadowError


class Text:
    """Rows whose tokens are measured and not answered: higher is better, 0 is certainty, -1 is a nat a token.

    Examples
    --------
    >>> found = snb.evaluate(model, snb.suites.text([{"text": "The parcel is late."}]))
    >>> found.cell("text", "tuned").mean.value < 0
    True

    Parameters
    ----------
    dataset
        Texts or conversations; None is the general prose that the package brings.
    name
        What it is called in tables.
    """

    rules: Sequence[str] = ()
    sampling = Sampling(temperature=0.0, max_new_tokens=1)

    def __init__(self, dataset: Any = None, *, name: str = "text") -> None:
        self.name = name
        self._dataset = dataset

    @cached_property
    def _rows(self) -> dict[str, dict[str, Any]]:
        from shadownb.engine.data import Dataset, as_dataset

        data = (
            as_dataset(self._dataset) if self._dataset is not None else Dataset.sample("general-text", split="heldout")
        )
        rows = data.canonical_rows()
        return {f"{place}-{hashlib.sha256(dumps(row).encode()).hexdigest()[:8]}": row for place, row in enumerate(rows)}

    def items(self) -> list[Item]:
        """Return the texts."""
        return [Item(name, [], row=row) for name, row in self._rows.items()]

    def measure(self, model: Any, use: Any, items: Sequence[Item]) -> list[Verdict]:
        """Return the mean log-probability a token of each text, in nats; of None, with the reason, where a model tells none."""
        if not callable(getattr(model, "loss", None)):
            return [Verdict(None, "an endpoint tells no probabilities of given text")] * len(items)
        found = []
        for item in items:
            try:
                value = -model.loss([self._rows[item.id]], **({"use": use} if use is not None else {}))
            except ShadowError as error:
                found.append(Verdict(None, error.what))
            else:
                found.append(Verdict(value, f"{value:.3f} nats a token"))
        return found

    def grade(self, asked: Sequence[tuple[Item, Turn]]) -> list[Verdict]:
        """Return nothing that counts: texts are measured."""
        return [Verdict(None, "this suite is measured, not answered")] * len(asked)
