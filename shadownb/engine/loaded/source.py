"""Where a loaded model comes from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Quantize = Literal["4bit", "8bit"]


@dataclass(frozen=True)
class Source:
    """Where weights come from: a folder or a hub id of the base, and a folder with what was trained on it."""

    name: str
    location: str
    trained_at: Path | None = None
    trained: tuple[str, int] | None = None  # (run id, step)
    quantize: Quantize | None = None  # of the base that was trained on
    dtype: tuple[str, str] | None = None  # (device kind, number format) that a run's training was asked to use
    backend: str | None = None  # that a run trained it with
    base_hash: str | None = None  # which a run's record demands of the base
    variables: dict[str, Any] = field(default_factory=dict)  # of the chat template, as what was trained had them

    def size_gb(self) -> float | None:
        """Return the size of the weights in 16 bits, in units of 1e9 bytes; None for what is not on this machine yet."""
        folder = Path(self.location)
        files = list(folder.glob("*.safetensors")) if folder.is_dir() else []
        return sum(file.stat().st_size for file in files) / 1e9 if files else None
