"""What exporters of whole models share: the merge in 32 bits, the base's config, and what was promised of how it is asked."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shadownb.engine.loaded.hashing import weight_files
from shadownb.engine.ports.abilities import SavesExact
from shadownb.errors import ExportError

if TYPE_CHECKING:
    from shadownb.engine.loaded.model import LoadedModel


def check_mergeable(model: LoadedModel, format_name: str) -> None:
    """Raise ExportError where merging would round what was trained into a quantised base, or the weights are an exported file."""
    if getattr(model.backend, "files", ()):
        raise ExportError(
            f"{model.name} is an exported file, of which nothing more can be made.",
            fix="Export from the model that it was made of.",
        )
    if model.quantization and not model.weights.merges_dense:
        said = "fmt" if format_name == "merged" else "format"  # as model.save calls it, which writes it, too
        again = "save(..., fmt='merged')" if format_name == "merged" else f"export(..., format={format_name!r})"
        raise ExportError(
            f"{said}={format_name!r}: the base is {model.quantization}; merging would round the adapter into it.",
            fix=f"Save the adapter, then merge it onto the 16-bit base: shadownb.load({model.name!r}, adapter=path).{again}.",
        )


def config_of(model: LoadedModel) -> dict[str, Any]:
    """Return the ``config.json`` of a model's base; empty where it is not to be found."""
    for file in weight_files(model.source)[:1]:
        try:
            found: dict[str, Any] = json.loads((file.parent / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        return found
    return {}


def save_exact(model: LoadedModel, folder: Path) -> None:
    """Write the model in 32 bits with what was trained in its weights, and the tokenizer that it was trained with.

    Raises
    ------
    ExportError
        Its backend can only write it in 16 bits.
    """
    if model.dtype_name == "float32":
        model.weights.save_whole(folder)
    elif isinstance(model.weights, SavesExact):
        model.weights.save_exact(folder)
    else:
        raise ExportError(
            f"The model is held in {model.dtype_name}, and backend {model.backend_name!r} merges into no other format.",
            fix=f"Load it with dtype='float32': shadownb.load({model.name!r}, dtype='float32', adapter=...).",
        )
    model.save_tokenizer(folder)
    name_ends(folder, model.renderer.stop_token_ids)


def name_ends(folder: Path, stops: tuple[int, ...]) -> None:
    """Write every token that ends a reply into the generation config: others ask with it, and would not stop at the template's."""
    path = folder / "generation_config.json"
    if not path.is_file():
        return
    config = json.loads(path.read_text(encoding="utf-8"))
    named = config.get("eos_token_id")
    known = named if isinstance(named, list) else [] if named is None else [named]
    ends = list(dict.fromkeys([*known, *stops]))
    if ends != known:
        config["eos_token_id"] = ends if len(ends) > 1 else ends[0]
        path.write_text(json.dumps(config, indent=2), encoding="utf-8")


def sampling_of(folder: Path) -> dict[str, float]:
    """Return what a folder's generation config asks a model to be sampled with."""
    try:
        said = json.loads((folder / "generation_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    known = ("temperature", "top_p", "top_k")
    return {
        key: said[key] for key in known if isinstance(said.get(key), int | float) and not isinstance(said[key], bool)
    }


def slug(name: str) -> str:
    """Return a model's name as part of a file's."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-.").lower() or "model"
