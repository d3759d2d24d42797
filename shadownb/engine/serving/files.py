"""The files that another program's server reads: a base's folder, and adapters beside it in peft's form."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shadownb.engine.inference import AdapterSource
from shadownb.engine.loaded.model import LoadedModel
from shadownb.engine.models.adapters import weights_asked
from shadownb.engine.models.loading import load
from shadownb.engine.models.saving import save
from shadownb.engine.runs.handle import Run
from shadownb.errors import ConfigError

_PEFT = "adapter_config.json"


@dataclass(frozen=True)
class Files:
    """What is served, by the names that requests give."""

    base: str
    base_name: str
    adapters: dict[str, str]


def files_of(model: Any, name: str | None, adapters: dict[str, Any], folder: Path) -> Files:
    """Return the files of a model, a run or a folder; what was trained and is no LoRA is merged into a folder of the server's."""
    loaded: Any = model if isinstance(model, LoadedModel) else load(model.id if isinstance(model, Run) else str(model))
    try:
        name = name or loaded.name
        if loaded.weights.kind is None:
            base, base_name = loaded.source, name
            found: dict[str, str] = {}
        else:
            base, found, base_name = _trained(loaded, name, folder)
        for each, asked in adapters.items():
            use = weights_asked(asked, loaded)
            if not isinstance(use, AdapterSource) or use.folder is None or not (use.folder / _PEFT).is_file():
                raise ConfigError(
                    f"adapters={each!r} is no adapter in peft's files, which this engine needs.",
                    fix="Give the folder of a LoRA that was saved, or serve it by engine='transformers'.",
                )
            found[each] = str(use.folder)
        return Files(base, base_name, found)
    finally:
        if loaded is not model:
            loaded.unload()


def _trained(loaded: Any, name: str, folder: Path) -> tuple[str, dict[str, str], str]:
    saved = save(loaded, folder / "adapter", "adapter")
    if (saved / _PEFT).is_file() and loaded.weights.kind == "lora":
        return loaded.source, {name: str(saved)}, f"{name}-base"
    return str(save(loaded, folder / "merged", "merged")), {}, name
