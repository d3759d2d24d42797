"""A whole model in 4 bits as vLLM, SGLang and transformers read it: AWQ and GPTQ, by auto-round in an environment of its own."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shadownb.engine import live
from shadownb.engine.exporters import environments
from shadownb.engine.exporters.calibration import rendered, rows_of_run
from shadownb.engine.exporters.rounding import narrow_files
from shadownb.engine.exporters.whole import check_mergeable, name_ends, save_exact
from shadownb.errors import ConfigError, ExportError

if TYPE_CHECKING:
    from shadownb.engine.loaded.model import LoadedModel

_GROUPS = (32, 64, 128)
_MOST_ROWS = 128  # of calibration: more changed nothing that could be seen on the shipped task
_SCRIPT = Path(__file__).parents[1] / "backends" / "autoround" / "job.py"


class _AutoRoundExporter:
    """Shared by both: they differ in the file's form, and in whether zero is in the middle.

    Parameters
    ----------
    bits
        4 or 8 (AWQ: 4).
    group_size
        How many numbers share a scale: 32, 64 or 128, or None: the largest that divides every layer's width.
    calibration
        Rows whose activations decide how numbers are rounded; None: the rows that the model was trained on.
    iters
        Steps in which each block's rounding is tuned; 0 looks for the best scales only.
    """

    format: str
    symmetric: bool

    def __init__(self, bits: int = 4, group_size: int | None = None, calibration: Any = None, iters: int = 0) -> None:
        allowed = (4,) if self.format == "awq" else (4, 8)
        if bits not in allowed:
            raise ConfigError(f"bits={bits!r}: {self.format} has {' and '.join(map(str, allowed))}.")
        if group_size is not None and group_size not in _GROUPS:
            raise ConfigError(f"group_size={group_size!r} is not known.", fix="Use 32, 64, 128 or None.")
        if type(iters) is not int or not 0 <= iters <= 1000:
            raise ConfigError(f"iters={iters!r} must be a whole number from 0 to 1000.")
        self._bits, self._group, self._calibration, self._iters = bits, group_size, calibration, iters

    def check(self, model: LoadedModel) -> None:
        """Raise where the model cannot be merged or the tool cannot be had."""
        check_mergeable(model, self.format)
        environments.AUTO_ROUND.require()

    def write(self, model: LoadedModel, folder: Path) -> None:
        """Write the quantised model; empty statistics of the calibration are an error."""
        rows = self._rows(model)
        with tempfile.TemporaryDirectory(prefix=".exact-", dir=folder) as place:
            exact, made = Path(place) / "exact", Path(place) / "made"
            exact.mkdir()
            live.tell("merging in 32 bits")
            save_exact(model, exact)
            group = self._group or _group_of(exact, self.format)
            job = Path(place) / "job.json"
            said = {
                "model": str(exact), "target": str(made), "format": f"auto_{self.format}", "bits": self._bits,
                "group_size": group, "symmetric": self.symmetric, "iters": self._iters, "rows": rows,
            }  # fmt: skip
            job.write_text(json.dumps(said), encoding="utf-8")
            live.tell(f"quantising to {self.format} on {len(rows)} rows")
            environments.AUTO_ROUND.run([str(_SCRIPT), str(job)], what=f"auto-round could not write {self.format}")
            for file in _written(made):
                shutil.move(str(file), folder / file.name)
        narrow_files(folder, "float16", "nearest")  # embeddings and norms: engines compute packed weights in 16 bits
        name_ends(folder, model.renderer.stop_token_ids)

    def _rows(self, model: LoadedModel) -> list[list[int]]:
        rows = self._calibration if self._calibration is not None else rows_of_run(model)
        if rows is None:
            raise ExportError(
                f"format={self.format!r} rounds by what the model does on rows, and there are none.",
                why="No run on this machine has trained it.",
                fix="Give some: calibration=rows.",
            )
        return [row.input_ids for row in rendered(model, rows, most=_MOST_ROWS)][:_MOST_ROWS]


class AwqExporter(_AutoRoundExporter):
    """AWQ in 4 bits, with a zero point for each group."""

    format = "awq"
    symmetric = False


class GptqExporter(_AutoRoundExporter):
    """GPTQ in 4 or 8 bits."""

    format = "gptq"
    symmetric = True


def _group_of(folder: Path, name: str) -> int:
    from shadownb.engine.gguf.tensors import Tensors

    with Tensors.of_folder(folder) as tensors:
        widths = {tensors.shape(each)[-1] for each in tensors if each.endswith("proj.weight")}
    found = next((group for group in reversed(_GROUPS) if all(width % group == 0 for width in widths)), None)
    if found is None:
        raise ExportError(
            f"format={name!r}: a layer of this model has {min(widths, default=0)} inputs, and {_GROUPS[0]} share a scale.",
            fix="Use format='gguf' or 'merged'.",
        )
    return found


def _written(folder: Path) -> list[Path]:
    """Return the files of the model, which the tool may have put into a folder of its own."""
    configs = sorted(folder.rglob("config.json"))
    if not configs:
        raise ExportError("auto-round has written no model.", fix="format='merged' needs no tool.")
    return [file for file in sorted(configs[0].parent.iterdir()) if file.is_file()]
