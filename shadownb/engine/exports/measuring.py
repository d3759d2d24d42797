"""Measuring exported files one after the other, and scoring their answers beside the model's."""

from __future__ import annotations

import collections
import dataclasses
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shadownb.engine import live
from shadownb.engine.evals.compare import compare
from shadownb.engine.evals.intervals import difference_of, mean_of
from shadownb.engine.exports.quality import Quality, Reference, load, probe, question_of
from shadownb.engine.ports.abilities import TellsDistributions
from shadownb.errors import MissingDependencyError, ShadowError

if TYPE_CHECKING:
    from shadownb.engine.loaded.model import LoadedModel

_ENGINES = {"gguf": "llamacpp", "mlx": "mlx"}
_NEW_TOKENS = 64


def measured(model: LoadedModel, name: str, format: str, place: Path, known: Reference) -> Quality:
    """Return what was measured of an export in a folder; where its engine is not here, size and formats with a note."""
    size = sum(file.stat().st_size for file in _weights(place))
    types = _types(place)
    if (
        format == "gguf-lora"
    ):  # no engine loads it by itself, and transformers would make a model of 7 billion random numbers
        told = f"{name} was not measured: it answers on a GGUF file of the base, load(FILE, backend='llamacpp', adapter=FOLDER)."
        return Quality(name, "", size, types=types, notes=(told,))
    live.tell(f"measuring {name}")
    try:
        with opened(model, format, place) as loaded:
            engine = _engine(loaded)
            if not isinstance(loaded.backend, TellsDistributions):
                told = (
                    f"{name} was loaded by {engine}, which tells no distributions, so its closeness was not measured."
                )
                return Quality(name, engine, size, types=types, notes=(told,))
            close = known.closeness(loaded)
    except MissingDependencyError as error:
        return Quality(name, "", size, types=types, notes=(f"{name} was not measured: {error.what} {error.fix}",))
    figures: dict[str, Any] = {}
    if known.rows:
        figures = probe(
            _place(place), _backend(model, format), question_of(known.rows[0]), _adapter(model, format, place)
        )
    return Quality(
        name, engine, size, figures.get("load_seconds"), figures.get("memory"), figures.get("tokens_per_second"),
        close.kl, close.top1, close.perplexity, close.reference_perplexity, close.tokens, types,
    )  # fmt: skip


def score_all(
    model: LoadedModel, files: Sequence[Quality], places: Sequence[tuple[str, Path]], rows: Any, scorer: Any
) -> list[Quality]:
    """Return the same with the task's score of each, and its paired difference from the model's."""
    found = []
    for each, (format, place) in zip(files, places, strict=True):
        if not each.engine:  # nothing here loads it
            found.append(each)
            continue
        with opened(model, format, place) as loaded:
            compared = compare(
                _Tuned(model), rows, scorer, against={each.name: loaded}, max_new_tokens=_NEW_TOKENS, reuse_answers=True
            )
        ours, theirs = [row.base_score for row in compared.rows], [row.tuned_score for row in compared.rows]
        found.append(dataclasses.replace(each, score=mean_of(theirs), difference=difference_of(theirs, ours)))
    return found


class _Tuned:
    """The tuned weights alone as somebody who answers: the base beside them is not asked."""

    has_base = False

    def __init__(self, model: Any) -> None:
        self._model, self.name = model, "the model"

    def chat(self, messages: Any, tools: Any = None, **options: Any) -> Any:
        """Answer with the tuned weights."""
        return self._model.chat(messages, tools=tools, system=None, use="tuned", **options)


@contextmanager
def opened(model: LoadedModel, format: str, place: Path) -> Iterator[Any]:
    """Yield an export as its engine has it."""
    adapter = _adapter(model, format, place)
    loaded = load(Path(model.source) if adapter is not None else _place(place), _backend(model, format), adapter)
    try:
        yield loaded
    finally:
        loaded.unload()


def _backend(model: LoadedModel, format: str) -> str:
    return _ENGINES.get(format, model.backend_name)


def _adapter(model: LoadedModel, format: str, place: Path) -> Path | None:
    return place if format == "adapter" or (format == "mlx" and not (place / "config.json").is_file()) else None


def _place(folder: Path) -> Path:
    files = sorted(folder.glob("*.gguf"))
    return files[0] if files else folder


def _weights(folder: Path) -> list[Path]:
    return [file for pattern in ("*.gguf", "*.safetensors") for file in folder.glob(pattern)]


def _types(folder: Path) -> dict[str, int]:
    """Return how many tensors have which format, as the files say."""
    counted: collections.Counter[str] = collections.Counter()
    for file in _weights(folder):
        if file.suffix == ".gguf":
            import gguf

            counted.update(tensor.tensor_type.name.lower() for tensor in gguf.GGUFReader(os.fspath(file)).tensors)
        else:
            from shadownb.engine.gguf.tensors import Tensors

            with Tensors([file]) as tensors:
                counted.update(tensors.format(name).lower() for name in tensors)
    return dict(counted.most_common())


def _engine(loaded: Any) -> str:
    from importlib import metadata

    said = loaded.backend.describe().get("library")
    name = loaded.backend.packages[0]
    try:
        return str(said or f"{name} {metadata.version(name)}")
    except (metadata.PackageNotFoundError, ShadowError):
        return str(name)
