"""How good a file is: loaded by the engine that will run it, and compared with the model that it was made of."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from shadownb.engine import live, registry
from shadownb.engine.children import ran
from shadownb.engine.evals.intervals import Difference, Mean
from shadownb.engine.ports.abilities import TellsDistributions
from shadownb.engine.rendering import Rendered
from shadownb.errors import ExportError

MOST_ROWS = 48  # of which distributions are compared: some seconds of a small model's time; more rows are less noise
_PROBE_SECONDS = 300


@dataclass(frozen=True)
class Quality:
    """What was measured of one file.

    Attributes
    ----------
    name
        Of the format, such as ``q4_k_m``.
    engine
        What loaded it, with its version.
    size
        Bytes on the disk.
    load_seconds, memory, tokens_per_second
        Of a fresh process with one thread: until it had answered once, bytes that it held beyond what it did before, and tokens of
        one answer a second of CPU time. None where it was not measured.
    kl
        Mean Kullback-Leibler divergence from the reference, in nats a token.
    top1
        Share of the tokens where the likeliest one is the same.
    perplexity, reference_perplexity
        Of the file and of the reference, on the same tokens.
    tokens
        How many tokens were compared.
    types
        How many tensors have which number format, as the file says.
    score, difference
        The task's own score, and what it is higher than the reference's on the same rows; None without a scorer.
    notes
        What else is to be known, in sentences.
    """

    name: str
    engine: str
    size: int
    load_seconds: float | None = None
    memory: int | None = None
    tokens_per_second: float | None = None
    kl: float | None = None
    top1: float | None = None
    perplexity: float | None = None
    reference_perplexity: float | None = None
    tokens: int = 0
    types: dict[str, int] = field(default_factory=dict)
    score: Mean | None = None
    difference: Difference | None = None
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Closeness:
    """How far one model's distributions are from another's; the fields are those of :class:`Quality`."""

    kl: float
    top1: float
    perplexity: float
    reference_perplexity: float
    tokens: int


class Reference:
    """The distributions of the model that files are made of, computed once and kept in 16 bits of their logarithm.

    Parameters
    ----------
    rows
        Sequences with marked tokens; the first :data:`MOST_ROWS` are used.
    """

    def __init__(self, model: Any, rows: Sequence[Rendered]) -> None:
        if not isinstance(model.backend, TellsDistributions):
            raise ExportError(
                f"Files cannot be compared with a model of backend {model.backend_name!r}, which tells no distributions.",
                fix="Load it with backend='torch', or export with report=False.",
            )
        self.rows = [row for row in rows if row.predicted_tokens][:MOST_ROWS]
        self.format = str(model.dtype_name)
        self._known = [found.astype(np.float32) for found in _by_row(model, self.rows)]

    def closeness(self, model: Any) -> Closeness:
        """Return how far a loaded model is from it."""
        divergence = agreed = 0.0
        surprise, reference_surprise, count = 0.0, 0.0, 0
        for row, known, found in zip(self.rows, self._known, _by_row(model, self.rows), strict=True):
            reference = known.astype(np.float64)
            if found.shape != reference.shape:
                raise ExportError(
                    f"The exported model tells {found.shape[-1]} tokens, and the model that it was made of {reference.shape[-1]}."
                )
            targets = np.array([token for token in row.labels[1:] if token >= 0])
            places = np.arange(len(targets))
            divergence += float((np.exp(reference) * (reference - found)).sum())
            agreed += float((reference.argmax(-1) == found.argmax(-1)).sum())
            surprise -= float(found[places, targets].sum())
            reference_surprise -= float(reference[places, targets].sum())
            count += len(targets)
        return Closeness(
            max(0.0, divergence / count), agreed / count, float(np.exp(surprise / count)),
            float(np.exp(reference_surprise / count)), count,
        )  # fmt: skip


def _by_row(model: Any, rows: Sequence[Rendered]) -> Iterator[npt.NDArray[np.float64]]:
    """Yield of each row the log-probabilities at the places of its marked tokens, shape (tokens, vocabulary)."""
    parts: list[npt.NDArray[np.float64]] = []
    current = 0
    for number, _, known in model.backend.distributions(model, rows, "tuned"):
        live.check()
        if number != current:
            yield np.concatenate(parts)
            parts, current = [], number
        parts.append(known)
    if parts:
        yield np.concatenate(parts)


def question_of(row: Rendered) -> list[int]:
    """Return the tokens of a row up to its first marked one: what a model is asked."""
    first = next((n for n, label in enumerate(row.labels) if label >= 0), len(row.labels))
    return row.input_ids[: max(1, first)]


def probe(place: Path, backend: str, prompt: Sequence[int], adapter: Path | None = None) -> dict[str, Any]:
    """Return load time, memory and speed of a file in a fresh process, with one thread; empty where that process failed."""
    asked = {
        "place": str(place),
        "backend": backend,
        "prompt": list(prompt),
        "adapter": str(adapter) if adapter else None,
    }
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "SHADOWNB_PROGRESS": "0", "HF_HUB_OFFLINE": "1"}
    try:
        done = ran(
            [sys.executable, "-m", f"{__package__}.probing"],
            input=json.dumps(asked), environment=environment, timeout=_PROBE_SECONDS,
        )  # fmt: skip
        found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1]) if done.returncode == 0 else {}
    except (subprocess.TimeoutExpired, ValueError, IndexError):
        return {}
    return found


def load(place: Path, backend: str, adapter: Path | None = None) -> Any:
    """Load an exported file or folder with the engine that will run it."""
    options: dict[str, Any] = {"adapter": str(adapter)} if adapter is not None else {}
    if backend != "llamacpp":
        options["dtype"] = "float32"
    return registry.resolve("model", "load")(str(place), backend=backend, **options)
