"""A model of transformers' files as one GGUF file."""

from __future__ import annotations

import collections
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from shadownb.engine import live
from shadownb.engine.gguf import architectures
from shadownb.engine.gguf.architectures import Architecture, Config
from shadownb.engine.gguf.layout import Layout
from shadownb.engine.gguf.mixtures import Mixture
from shadownb.engine.gguf.quantising import quantised
from shadownb.engine.gguf.tensors import Array, Tensors
from shadownb.engine.gguf.types import kind_of
from shadownb.engine.gguf.vocabulary import write_vocabulary
from shadownb.errors import ExportError

_TOKEN_BYTES = 36  # a token's text, kind and merge; of SmolLM2's 49,152 they are 1.8 MB
_NOT_WRITTEN = ("rotary_emb.inv_freq", "attn.masked_bias", "attn.bias")  # computed by whoever loads it


@dataclass(frozen=True)
class Facts:
    """What a file says beside its weights.

    Attributes
    ----------
    name
        Of the model.
    stops
        Tokens that end an answer, the usual one first.
    chat_template
        As it was trained with; None leaves it out.
    sampling
        ``temperature``, ``top_p``, ``top_k``: what it is to be asked with where nobody says otherwise.
    more
        Keys of ``general.`` with their texts.
    """

    name: str
    stops: Sequence[int] = ()
    chat_template: str | None = None
    sampling: Mapping[str, float] = field(default_factory=dict)
    more: Mapping[str, str] = field(default_factory=dict)


def check(config: Config, quant: str) -> None:
    """Raise ExportError where a model cannot be written so, before anything is read."""
    kind_of(quant)
    architectures.of(config)


def write_model(
    folder: Path,
    target: Path,
    quant: str,
    facts: Facts,
    importance: Mapping[str, Array] | None = None,
    tell: Callable[[int, int], None] = lambda done, of: None,
) -> dict[str, int]:
    """Write the model of a folder (weights in 16 or 32 bits); returns how many tensors have which format.

    Parameters
    ----------
    importance
        By the names of modules, how much an error counts in each column of their weights.
    tell
        Called with how many tensors are written, and of how many.
    """
    kind = kind_of(quant)
    config: Config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    made = architectures.of(config)
    with Tensors.of_folder(folder) as tensors:
        parts = list(_parts(tensors, config, made))
        types = _types(parts, config, kind, bool(importance))
        writer = gguf.GGUFWriter(str(target), made.name)
        try:
            _describe(writer, config, made, facts, int(kind))
            write_vocabulary(writer, folder, config["vocab_size"], stops=facts.stops, chat_template=facts.chat_template)
            for name, shape, _ in parts:
                _announce(writer, name, shape, types[name])
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_ti_data_to_file()
            for place, (name, _, (source, read)) in enumerate(parts):
                live.check()
                tell(place, len(parts))
                weight = (importance or {}).get(source.removesuffix(".weight"))
                writer.write_tensor_data(quantised(read(), types[name], weight))
            tell(len(parts), len(parts))
        finally:
            writer.close()
    return dict(collections.Counter(found.name.lower() for found in types.values()).most_common())


def estimated_bytes(files: Sequence[Path], config: Config, quants: Sequence[str]) -> dict[str, int]:
    """Return about how large a model's file will be in each format, from the shapes alone: its tensors, and a usual vocabulary.

    Parameters
    ----------
    files
        Of the model's weights.

    Raises
    ------
    ExportError
        It cannot be written so.
    """
    made = architectures.of(config)
    with Tensors(list(files)) as tensors:
        parts = list(_parts(tensors, config, made))
    found = {}
    for quant in quants:
        types = _types(parts, config, kind_of(quant))
        shapes = (gguf.quant_shape_to_byte_shape(shape, types[name]) for name, shape, _ in parts)
        found[quant] = sum(math.prod(shape) for shape in shapes) + _TOKEN_BYTES * int(config["vocab_size"])
    return found


def _types(
    parts: Sequence[Part], config: Config, kind: gguf.LlamaFileType, weighted: bool = False
) -> dict[str, gguf.GGMLQuantizationType]:
    """Return the number format that each tensor gets."""
    heads = config["num_attention_heads"]
    tied = not any(name == "output.weight" for name, _, _ in parts)
    shared = heads // (config.get("num_key_value_heads") or heads)
    mixture = Mixture(kind, config["num_hidden_layers"], shared, tied, weighted)
    return {name: mixture.type_of(name, shape) for name, shape, _ in parts}


def _layout(config: Config, made: Architecture) -> Layout:
    heads = config["num_attention_heads"]
    return Layout(made.name, config["num_hidden_layers"], heads, config.get("num_key_value_heads") or heads)


Part = tuple[str, tuple[int, ...], tuple[str, Callable[[], Array]]]


def _parts(tensors: Tensors, config: Config, made: Architecture) -> Iterator[Part]:
    """Yield (name in GGUF, shape, (name in the files, what reads it)) of each tensor that is written."""
    layout = _layout(config, made)
    factors = architectures.rope_factors(config)
    if factors is not None:
        yield "rope_freqs.weight", factors.shape, ("rope_freqs", lambda: factors)
    for source in tensors:
        if source.endswith(_NOT_WRITTEN):
            continue
        if source == "lm_head.weight" and config.get("tie_word_embeddings") and "model.embed_tokens.weight" in tensors:
            continue  # the same numbers a second time
        module, _, end = source.rpartition(".")
        if end not in ("weight", "bias"):
            raise ExportError(
                f"format='gguf': the tensor {source} is neither a weight nor a bias.",
                fix="converter='official' uses llama.cpp's own converter.",
            )
        name = f"{layout.name(module)}.{end}"

        def read(source: str = source, module: str = module) -> Array:
            values = layout.ordered(module, tensors.read(source))
            return values + np.float32(1) if made.shifted_norms and module.endswith("norm") else values

        yield name, tensors.shape(source), (source, read)


def _announce(writer: gguf.GGUFWriter, name: str, shape: tuple[int, ...], kind: gguf.GGMLQuantizationType) -> None:
    plain: dict[gguf.GGMLQuantizationType, Any] = {
        gguf.GGMLQuantizationType.F32: np.dtype(np.float32), gguf.GGMLQuantizationType.F16: np.dtype(np.float16)
    }  # fmt: skip
    if kind in plain:
        writer.add_tensor_info(name, shape, plain[kind], int(np.prod(shape)) * plain[kind].itemsize)
        return
    whole = gguf.quant_shape_to_byte_shape(shape, kind)
    writer.add_tensor_info(name, whole, np.dtype(np.uint8), int(np.prod(whole)), raw_dtype=kind)


def _describe(writer: gguf.GGUFWriter, config: Config, made: Architecture, facts: Facts, kind: int) -> None:
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(facts.name)
    for key, text in sorted(facts.more.items()):
        writer.add_string(f"general.{key}", text)
    for key, value in sorted(facts.sampling.items()):
        name = {"temperature": "temp"}.get(key, key)
        if key == "top_k":
            writer.add_int32(f"general.sampling.{name}", int(value))
        else:
            writer.add_float32(f"general.sampling.{name}", float(value))
    made.describe(writer, config)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_file_type(kind)
