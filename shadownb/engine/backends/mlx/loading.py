"""From a source to a model of mlx-lm and its tokenizer, with errors that say what is wrong with it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx import nn
from mlx.utils import tree_flatten
from safetensors import SafetensorError, safe_open

from shadownb.engine import live
from shadownb.engine.backends.mlx import memory, products, reading
from shadownb.engine.backends.mlx.borrowed import SwitchLinear, classes_of, load_model, make_prompt_cache
from shadownb.engine.backends.mlx.head import find_head
from shadownb.engine.backends.texts import does_not_fit, unreachable, unreadable
from shadownb.engine.fetching import Fetching
from shadownb.engine.loaded.source import Source
from shadownb.engine.ports.decisions import Decision
from shadownb.engine.progress_bars import HUB, without_bars
from shadownb.errors import ModelError

_GROUPS = (64, 32)  # weights that share a scale, the largest that divides every layer
# Never code: what is downloaded is what is read.
_FILES = ("*.json", "model*.safetensors", "tokenizer.model", "*.txt", "*.jinja")


@dataclass(frozen=True)
class Files:
    """What lies on the disk of a base.

    Attributes
    ----------
    config
        Its ``config.json``.
    shapes
        The shape of each tensor in its files.
    window
        Up to how many tokens mlx-lm computes this model, where it leaves out windows that the model has; None sets no limit.
    """

    folder: Path
    config: dict[str, Any]
    shapes: dict[str, tuple[int, ...]]
    window: int | None = None

    @property
    def bits(self) -> int | None:
        """In how many bits its files hold the weights; None for a format of 16 or 32."""
        found = self.config.get("quantization") or self.config.get("quantization_config") or {}
        if not found:
            return None
        return int(found.get("bits", 4))


def load_module(source: Source, decisions: dict[str, Decision]) -> tuple[Any, Files]:
    """Return a source's base and what lies on the disk of it.

    ``decisions`` gets the quantisation that the files themselves have.
    """
    live.tell("reading weights", None if Path(source.location).is_dir() else Fetching(source.location))
    folder = located(source)
    _refuse_adapter(source, folder)
    try:
        files = Files(folder, json.loads((folder / "config.json").read_text(encoding="utf-8")), _shapes(folder))
        changes = reading.told(files.config, frozenset(files.shapes), classes_of)
        module: Any = load_model(folder, lazy=True, model_config=changes)[0]
        reading.check_rotations(module, files.config, changes)
        files = replace(files, window=reading.window_missed(files.config, make_prompt_cache(module)))
        _in_format(module, files, decisions)
        products.quicken(module, str(decisions["device"][0]))
        module.freeze()
        module.eval()
        mx.eval(module.parameters())
    except ModelError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError, RuntimeError) as error:
        if memory.is_out_of_memory(error):
            raise does_not_fit(source.name, str(decisions["device"][0]), error) from error
        raise ModelError(
            f"The model in {folder} cannot be read by mlx-lm.",
            why=f"{type(error).__name__}: {' '.join(str(error).split())[:300]}",
            fix="Save or download it again, or load it with backend='torch'.",
        ) from error
    return module, files


def located(source: Source) -> Path:
    """Return the folder of a source, fetched where it is a hub id."""
    if Path(source.location).is_dir():
        return Path(source.location)
    from huggingface_hub import snapshot_download

    try:
        with without_bars(HUB):
            return Path(snapshot_download(source.location, allow_patterns=list(_FILES)))
    except (OSError, ValueError) as error:
        raise unreachable(source.name, error) from error


def load_tokenizer(location: str) -> Any:
    """Return the tokenizer of a folder or a hub id.

    Raises
    ------
    ModelError
        It is not there, or cannot be read.
    """
    from transformers import AutoTokenizer

    try:
        with without_bars(HUB):
            return AutoTokenizer.from_pretrained(location, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise unreadable(location, error) from error


def _shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    for file in sorted(folder.glob("model*.safetensors")):
        with safe_open(str(file), framework="np") as tensors:
            for name in tensors.keys():  # noqa: SIM118 (not a dict)
                found[name] = tuple(tensors.get_slice(name).get_shape())
    if not found:
        raise FileNotFoundError(f"No model*.safetensors in {folder}")
    return found


def _in_format(module: Any, files: Files, decisions: dict[str, Decision]) -> None:
    """Bring the weights to the number format and the bits that were decided."""
    experts = any(type(part) is SwitchLinear for _, part in module.named_modules())
    if experts and decisions["device"][0] == "cpu" and decisions["dtype"][0] != "float32":
        raise ModelError(
            f"dtype={decisions['dtype'][0]!r}: MLX computes experts in 32 bits alone on a CPU.",
            fix="Load it with dtype='float32', or with backend='torch'.",
        )
    module.set_dtype(getattr(mx, str(decisions["dtype"][0])))
    asked = str(decisions["quantization"][0] or "")
    there = f"{files.bits}bit" if files.bits is not None else ""
    if there:
        if asked and asked != there:
            raise ModelError(
                f"quantize={asked!r}: the files of this model hold its weights in {files.bits} bits already.",
                fix="Leave quantize out.",
            )
        decisions["quantization"] = there, "the files hold the weights in these bits"
    elif asked:
        head = find_head(module)[0]
        group = _group(module)
        layers = [m for _, m in module.named_modules() if isinstance(m, nn.Linear) and m is not head]
        wanted = {id(layer) for layer in layers}
        nn.quantize(module, group, int(asked.removesuffix("bit")), class_predicate=lambda _, m: id(m) in wanted)


def _group(module: Any) -> int:
    widths = {m.weight.shape[-1] for _, m in module.named_modules() if isinstance(m, nn.Linear)}
    for group in _GROUPS:
        if all(width % group == 0 for width in widths):
            return group
    raise ModelError(
        f"quantize: a layer of this model has {min(widths)} inputs, and MLX quantises {_GROUPS[-1]} at a time.",
        fix="Leave quantize out, or load it with backend='torch'.",
    )


def _refuse_adapter(source: Source, folder: Path) -> None:
    """Refuse a folder with an adapter beside a base: that would pass for the bare base."""
    if not (folder / "adapter_config.json").is_file() or not (folder / "config.json").is_file():
        return
    raise ModelError(
        f"{source.name!r} has an adapter, so it is no base model.",
        fix=f"Load it on its base: shadownb.load(base, adapter={str(folder)!r}).",
    )


def parameters(module: Any) -> dict[str, Any]:
    """Return the arrays of a model by name, in a fixed order."""
    flat: Any = tree_flatten(module.parameters())
    return dict(sorted(flat))


def read_arrays(file: Path) -> dict[str, Any]:
    """Return the arrays of a safetensors file by name."""
    found: Any = mx.load(str(file))
    return dict(found)
