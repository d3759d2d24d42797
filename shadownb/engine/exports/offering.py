"""What a model can be exported as: each format with its size, estimated from shapes, and what is missing here to write it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shadownb.engine import registry
from shadownb.engine.exporters import environments
from shadownb.engine.exporters.whole import config_of
from shadownb.engine.gguf.model import estimated_bytes
from shadownb.engine.gguf.tensors import Tensors
from shadownb.engine.gguf.types import KINDS
from shadownb.engine.loaded.hashing import weight_files
from shadownb.engine.models.exporting import Asked
from shadownb.errors import ShadowError

if TYPE_CHECKING:
    from shadownb.engine.models.model import Model

_USUAL = ("q4_k_m", "q5_k_m", "q6_k", "q8_0", "f16")
_ENGINES = {
    "gguf": "llama.cpp, Ollama, LM Studio",
    "gguf-lora": "llama.cpp and Ollama, on a GGUF file of the base",
    "merged": "transformers, vLLM, SGLang",
    "awq": "vLLM, SGLang, transformers",
    "gptq": "vLLM, SGLang, transformers",
    "mlx": "mlx-lm, on Apple silicon",
    "adapter": "peft, vLLM's LoRA, ShadowNB",
}
_OPTIONS: dict[str, tuple[dict[str, Any], ...]] = {
    "merged": ({"dtype": "bfloat16"}, {"dtype": "float32"}),
    "mlx": ({"bits": 4}, {}),
}
_FETCHED = {"awq": environments.AUTO_ROUND, "gptq": environments.GPTQ}
_PACKED_BITS = 4.5  # of a 4-bit weight: 16 bits of scale and 4 of zero are shared by 32 to 128
_WIDTH = {"bfloat16": 2, "float16": 2, "float32": 4}


@dataclass(frozen=True)
class Offer:
    """A format that a model can be exported as.

    Attributes
    ----------
    format, options
        What :meth:`Model.export` takes.
    name
        What it is called in the tables of a report.
    engines
        Who runs it.
    usual
        Whether it is among those that most people want.
    size
        Bytes, estimated; None where that can't be said beforehand.
    fetches
        Packages that are fetched before it is written.
    prepare
        The command that fetches them beforehand.
    refused
        Why it can't be written here, with the next step; None where it can.
    """

    format: str
    name: str
    engines: str
    options: dict[str, Any] = field(default_factory=dict)
    usual: bool = True
    size: int | None = None
    fetches: tuple[str, ...] = ()
    prepare: str = ""
    refused: ShadowError | None = None


def offers(model: Model) -> list[Offer]:
    """Return every format, GGUF's first; nothing is written, fetched or computed."""
    estimate = _Estimates(weight_files(model.source), config_of(model))
    found = []
    for asked, usual in _formats():
        refused = _refused(asked, model)
        tool = _FETCHED.get(asked.format)
        missing = tool is not None and not tool.is_ready()
        found.append(
            Offer(
                asked.format,
                asked.name,
                _ENGINES.get(asked.format, ""),
                asked.options,
                usual,
                None if refused is not None else estimate.of(asked),
                tool.packages if missing and tool is not None else (),
                f"shadownb export --prepare {asked.format}" if missing else "",
                refused,
            )
        )
    return found


def room_needed(model: Model, chosen: list[Offer]) -> int:
    """Return about how many bytes the disk must have for an export: the merge in 32 bits, and every file that is written."""
    numbers = model.weights.parameters_total
    return 4 * numbers + sum(each.size or 0 for each in chosen)


def _formats() -> Iterator[tuple[Asked, bool]]:
    names = registry.names("exporter")
    if "gguf" in names:
        for quant in (*_USUAL, *(kind for kind in KINDS if kind not in _USUAL)):
            yield Asked("gguf", {"quant": quant}), quant in _USUAL
    for name in ("merged", "awq", "gptq", "mlx", "gguf-lora", "adapter"):
        for options in _OPTIONS.get(name, ({},)) if name in names else ():
            yield Asked(name, dict(options)), True
    for name in names:
        if name not in _ENGINES:  # one that another package brings
            yield Asked(name, {}), True


def _refused(asked: Asked, model: Model) -> ShadowError | None:
    try:
        exporter = asked.exporter()
        if asked.format in _FETCHED:
            _without_fetching(exporter.check, model, asked.format)
        else:
            exporter.check(model)
    except ShadowError as error:
        return error
    return None


def _without_fetching(check: Callable[[Any], None], model: Model, format: str) -> None:
    """Check a model for a format whose own check fetches its tool; that part is left out while the tool is not here."""
    from shadownb.engine.exporters.whole import check_mergeable

    if _FETCHED[format].is_ready():
        check(model)
    else:
        check_mergeable(model, format)


class _Estimates:
    """About how many bytes the weights of each format take, from the shapes in a base's files, read once."""

    def __init__(self, files: list[Path], config: dict[str, Any]) -> None:
        self._numbers: dict[str, tuple[int, int]] = {}  # of each tensor how many, and in how many dimensions
        self._gguf: dict[str, int] = {}
        with contextlib.suppress(ShadowError, OSError, ValueError, KeyError), Tensors(files) as tensors:
            self._numbers = {name: (tensors.size(name), len(tensors.shape(name))) for name in tensors}
            self._gguf = estimated_bytes(files, config, tuple(KINDS))

    def of(self, asked: Asked) -> int | None:
        """Return the bytes of a format; None for adapters, and where the base's files are not here."""
        if asked.format == "gguf":
            return self._gguf.get(asked.options["quant"])
        total = sum(size for size, _ in self._numbers.values())
        if not total:
            return None
        if asked.format == "merged":
            return total * _WIDTH[asked.options["dtype"]]
        if asked.format in ("awq", "gptq") or (asked.format == "mlx" and asked.options):
            ends = ("proj.weight", "embed_tokens.weight") if asked.format == "mlx" else ("proj.weight",)
            packed = sum(size for name, (size, dims) in self._numbers.items() if dims == 2 and name.endswith(ends))
            return round(packed * _PACKED_BITS / 8) + 2 * (total - packed)
        return None
