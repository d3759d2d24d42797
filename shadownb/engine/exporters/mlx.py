"""MLX: a LoRA or DoRA adapter in the files of mlx-lm, whatever trained it, or the whole model in 16, 8 or 4 bits."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from shadownb.engine.exporters.whole import check_mergeable, save_exact
from shadownb.errors import ConfigError, ExportError, MissingDependencyError

if TYPE_CHECKING:
    from shadownb.engine.loaded.model import LoadedModel

_PREFIX = "base_model.model."  # of every name in a file of peft
# (peft's end of a name, mlx-lm's, whether it is transposed there)
_PARTS = (("lora_A.weight", "lora_a", True), ("lora_B.weight", "lora_b", True), ("lora_magnitude_vector", "m", False))


class MlxExporter:
    """``adapters.safetensors`` and the config beside it, for ``mlx_lm.generate --adapter-path`` and ``mlx_lm.fuse``; with ``bits``
    the whole model, fused and converted by mlx-lm.

    Parameters
    ----------
    bits
        16, 8 or 4: of the whole model's weights. None: the adapter alone.
    """

    def __init__(self, bits: int | None = None) -> None:
        if bits not in (None, 16, 8, 4):
            raise ConfigError(
                f"bits={bits!r}: format='mlx' has 16, 8 and 4.", fix="Leave it out for the adapter alone."
            )
        self._bits = bits

    def check(self, model: LoadedModel) -> None:
        """Raise ExportError where the model carries nothing that mlx-lm has layers for."""
        if self._bits is not None:
            check_mergeable(model, "mlx")
            if importlib.util.find_spec("mlx_lm") is None:
                raise MissingDependencyError(
                    f"format='mlx', bits={self._bits} is converted by mlx-lm, which is not installed.",
                    why="It runs on Apple silicon and Linux alone.",
                    fix="pip install 'shadownb[mlx]'",
                )
            return
        if model.weights.kind != "lora":
            have = (
                "It has not been trained."
                if model.weights.kind is None
                else f"What was trained is {model.weights.kind}."
            )
            raise ExportError(
                "fmt='mlx' writes LoRA and DoRA adapters, and this model carries none.",
                why=have,
                fix="Use fmt='merged' where it can be merged: mlx-lm loads that, too.",
            )

    def write(self, model: LoadedModel, folder: Path) -> None:
        """Write what was trained by way of peft's files, which every backend writes; the whole model by way of transformers'."""
        if self._bits is not None:
            _convert(model, folder, self._bits)
            return
        with tempfile.TemporaryDirectory(prefix="shadownb-mlx-") as place:
            model.weights.save(Path(place))
            said, arrays = _read(Path(place))
        _write(said, arrays, folder, model.public_name)


def _convert(model: LoadedModel, folder: Path, bits: int) -> None:
    with tempfile.TemporaryDirectory(prefix=".exact-", dir=folder) as place:
        exact, made = Path(place) / "exact", Path(place) / "made"
        exact.mkdir()
        save_exact(model, exact)
        quantised = [] if bits == 16 else ["-q", "--q-bits", str(bits)]
        # float16: a bf16 of the same model was as far from it as 4 bits are (KL 0.13).
        done = subprocess.run(
            [sys.executable, "-m", "mlx_lm", "convert", "--hf-path", str(exact), "--mlx-path", str(made), "--dtype", "float16",
             *quantised],
            capture_output=True, text=True, check=False, env={**os.environ, "HF_HUB_OFFLINE": "1"},
        )  # fmt: skip
        if done.returncode != 0:
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            raise ExportError(
                f"format='mlx', bits={bits}: mlx-lm could not convert the model.",
                why=lines[-1] if lines else "It said nothing.",
                fix="Use format='merged', which mlx-lm loads, too.",
            )
        for file in sorted(made.iterdir()):
            if file.is_file():
                shutil.move(str(file), folder / file.name)


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    said = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    if said.get("target_parameters") or said.get("modules_to_save"):
        raise ExportError(
            "fmt='mlx': this adapter is on more than linear layers, which mlx-lm's files have no place for.",
            fix="Use fmt='merged', which mlx-lm loads, too.",
        )
    try:
        return said, load_file(folder / "adapter_model.safetensors")
    except (SafetensorError, TypeError) as error:  # numpy has no bf16
        raise ExportError(f"fmt='mlx': the adapter cannot be written ({error}).") from error


def _write(said: dict[str, Any], arrays: dict[str, Any], folder: Path, base: str) -> None:
    found: dict[str, Any] = {}
    for name, array in arrays.items():
        inner = name.removeprefix(_PREFIX)
        end, key, turned = next(part for part in _PARTS if inner.endswith(f".{part[0]}"))
        found[f"{inner.removesuffix(f'.{end}')}.{key}"] = np.ascontiguousarray(array.T if turned else array)
    layers = sorted({name.rsplit(".", 1)[0] for name in found})
    rank, alpha = int(said["r"]), float(said["lora_alpha"])
    content = {
        "model": base,
        "base_model_name_or_path": base,  # by which shadownb.load finds the base
        "fine_tune_type": "dora" if said.get("use_dora") else "lora",
        "num_layers": len({part for name in layers for part in name.split(".") if part.isdigit()}),
        "lora_parameters": {
            "rank": rank,
            "scale": alpha / (math.sqrt(rank) if said.get("use_rslora") else rank),
            "dropout": float(said.get("lora_dropout") or 0.0),
            "keys": layers,  # whole names, so that it is on these layers and on no other
        },
    }
    save_file(found, folder / "adapters.safetensors", metadata={"format": "mlx"})
    (folder / "adapter_config.json").write_text(json.dumps(content, indent=2), encoding="utf-8")
