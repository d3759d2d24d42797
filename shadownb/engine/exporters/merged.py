"""The whole model with what was trained in its weights."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from shadownb.errors import ExportError

if TYPE_CHECKING:
    from shadownb.engine.loaded.model import LoadedModel


class MergedExporter:
    """A folder that loads anywhere its base does, without any adapter."""

    def check(self, model: LoadedModel) -> None:
        """Raise ExportError where merging would round what was trained into a quantised base."""
        if model.quantization and not model.weights.merges_dense:
            raise ExportError(
                f"fmt='merged': the base is {model.quantization}; merging would round the adapter into it.",
                fix=f"Save the adapter, then merge it onto the 16-bit base: "
                f"shadownb.load({model.name!r}, adapter=path).save(..., fmt='merged').",
            )

    def write(self, model: LoadedModel, folder: Path) -> None:
        """Write the whole model, and the tokens that end its replies."""
        model.weights.save_whole(folder)
        _name_ends(folder, model.renderer.stop_token_ids)


def _name_ends(folder: Path, stops: Iterable[int]) -> None:
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
