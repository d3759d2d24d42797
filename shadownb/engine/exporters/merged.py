"""The whole model with what was trained in its weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from shadownb.engine.exporters import rounding as narrow
from shadownb.engine.exporters.whole import check_mergeable, name_ends, save_exact
from shadownb.engine.gguf.tensors import Tensors
from shadownb.engine.loaded.hashing import weight_files

if TYPE_CHECKING:
    from shadownb.engine.loaded.model import LoadedModel


class MergedExporter:
    """A folder that loads anywhere its base does, without any adapter.

    Parameters
    ----------
    dtype
        ``float32``, ``bfloat16``, ``float16``, ``auto`` (as the base's files have it), or None: as the model is held.
    rounding
        ``seeded`` (by a chance from a fixed seed) or ``nearest``.
    """

    def __init__(self, dtype: str | None = None, rounding: narrow.Rounding = "seeded") -> None:
        if dtype is not None:
            narrow.check(dtype, rounding)
        self._dtype, self._rounding = dtype, rounding

    def check(self, model: LoadedModel) -> None:
        """Raise ExportError where merging would round what was trained into a quantised base."""
        check_mergeable(model, "merged")

    def write(self, model: LoadedModel, folder: Path) -> None:
        """Write the whole model, and the tokens that end its replies."""
        dtype = _of_files(model) if self._dtype == "auto" else self._dtype
        if dtype is None:
            model.weights.save_whole(folder)
        else:
            save_exact(model, folder)
            if dtype != "float32":
                narrow.narrow_files(folder, dtype, self._rounding)
        name_ends(folder, model.renderer.stop_token_ids)


def _of_files(model: LoadedModel) -> str | None:
    """Return the format that most numbers of the base's files have; None where they are not to be found."""
    files = weight_files(model.source)
    if not files:
        return None
    with Tensors(files) as tensors:
        largest = max(tensors, key=tensors.size)
        return narrow.FORMATS.get(tensors.format(largest))
