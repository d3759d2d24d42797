"""A scorer that is asked about the same answer once: for those that cost money or seconds, such as judges and programs."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from shadownb.engine.scoring.asking import Scoring
from shadownb.engine.scoring.base import Sample, Score
from shadownb.errors import ConfigError


class Cached:
    """Ask a scorer about each answer once and remember what it said, in this process.

    Two answers are the same where all that a scorer may look at is: output, expected answer, prompt, messages, tools and row. A
    missing verdict is not remembered, so that what failed once is asked again.

    Parameters
    ----------
    scorer
        As :class:`Scoring` takes it. It has to say the same about the same answer each time.
    size
        Verdicts that are kept; the one that was not asked for the longest makes room.

    Raises
    ------
    ConfigError
        ``size`` is below 1.

    Examples
    --------
    >>> judge = snb.scoring.Cached("exact")
    >>> judge("red", "red").value, judge
    (1.0, Cached(exact, 1 kept))
    """

    def __init__(self, scorer: Callable[..., Any] | str | Scoring, *, size: int = 100_000) -> None:
        if size < 1:
            raise ConfigError(f"size={size} keeps no verdict.", fix="Give at least 1.")
        self._scoring = scorer if isinstance(scorer, Scoring) else Scoring(scorer)
        self._size, self._lock = size, threading.Lock()
        self._kept: OrderedDict[str, Score] = OrderedDict()
        self.name = self._scoring.name
        self.needs_expected = self._scoring.needs_expected

    def __repr__(self) -> str:
        return f"Cached({self.name}, {len(self._kept)} kept)"

    def check(self, expected: str) -> None:
        """Raise ValueError where the scorer cannot compare with this expected answer."""
        refusal = self._scoring.refusal(expected)
        if refusal is not None:
            raise ValueError(refusal)

    def __call__(self, output: str, expected: str, **shown: Any) -> Score:
        """Return what the scorer says, or said."""
        return self.score_many([Sample(output, expected, **shown)])[0]

    def score_many(self, samples: Sequence[Sample], *, timeout: float | None = None) -> list[Score]:
        """Return the verdicts; the scorer is asked about those alone that are new, about each once."""
        keys = [_key(sample) for sample in samples]
        with self._lock:
            known = {key: self._kept[key] for key in keys if key in self._kept}
            for key in known:
                self._kept.move_to_end(key)
        new = {key: sample for key, sample in zip(keys, samples, strict=True) if key not in known}
        scores = self._scoring.score_many(list(new.values()), timeout=timeout) if new else []
        found = dict(zip(new, scores, strict=True))
        with self._lock:
            self._kept.update({key: score for key, score in found.items() if score.value is not None})
            while len(self._kept) > self._size:
                self._kept.popitem(last=False)
        return [known.get(key) or found[key] for key in keys]


def _key(sample: Sample) -> str:
    seen = [
        sample.output,
        sample.expected,
        sample.prompt,
        sample.messages,
        sample.tools,
        sample.completion,
        dict(sample.row),
    ]
    return hashlib.sha256(json.dumps(seen, sort_keys=True, default=repr).encode("utf-8", "surrogatepass")).hexdigest()
