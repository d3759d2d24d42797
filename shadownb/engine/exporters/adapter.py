"""What was trained, apart from the base: a few kilobytes to megabytes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from shadownb.errors import ExportError

if TYPE_CHECKING:
    from shadownb.engine.loaded.model import LoadedModel


class AdapterExporter:
    """Files that :func:`shadownb.load` puts on the base, and peft where it knows the method."""

    def check(self, model: LoadedModel) -> None:
        """Raise ExportError where nothing was trained that exists apart from the base."""
        if not model.weights.separate:
            raise ExportError(
                "fmt='adapter': this model carries no adapter.",
                why="It was trained whole." if model.weights.kind is not None else "It has not been trained.",
                fix="Use fmt='merged' to save the whole model.",
            )

    def write(self, model: LoadedModel, folder: Path) -> None:
        """Write what was trained."""
        model.weights.save(folder)
