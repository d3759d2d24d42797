"""Adapters that no library saves: ours to write, to find again and to put back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

from safetensors.torch import load_file, save_file

from shadownb.engine.backends.torch.adapters.base import Adapter
from shadownb.engine.backends.torch.adapters.tensors import for_file, restore
from shadownb.errors import ModelError


class StoredAdapter(Adapter):
    """An adapter that is saved as one safetensors file of its tensors beside a small JSON that describes it.

    Attributes
    ----------
    base_name
        The base's name on any machine.
    """

    stem: ClassVar[str]  # begins the names of both files, and is the "type" in the description

    def __init__(self, module: Any, base_name: str) -> None:
        super().__init__(module)
        self.base_name = base_name

    @classmethod
    def description(cls, folder: Path) -> Path:
        """Return where the JSON of a saved adapter lies."""
        return folder / f"{cls.stem}_config.json"

    @classmethod
    def _tensors(cls, folder: Path) -> Path:
        return folder / f"{cls.stem}.safetensors"

    @classmethod
    def made_like(cls, base: Any, content: dict[str, Any]) -> StoredAdapter:
        """Put an adapter of the shape that a description tells on a bare base; its tensors are loaded afterwards."""
        return cls(base, content.get("base_model", ""))

    @classmethod
    def reads(cls, folder: Path) -> bool:
        return cls.description(folder).is_file()

    @classmethod
    def attach_saved(cls, base: Any, folder: Path) -> Adapter:
        adapter = cls.made_like(base, json.loads(cls.description(folder).read_text(encoding="utf-8")))
        adapter.load_into(folder)
        return adapter

    def save(self, folder: Path) -> None:
        save_file(for_file(self.owned()), self._tensors(folder))
        self.description(folder).write_text(json.dumps(self.described()), encoding="utf-8")

    def described(self) -> dict[str, Any]:
        """Return the content of the JSON."""
        return {"type": self.stem, "base_model": self.base_name}

    def load_into(self, folder: Path) -> None:
        file = self._tensors(folder)
        if not file.is_file():
            raise ModelError(f"{folder} holds no {self.noun}.", fix=f"Give a checkpoint of a run with {self.noun}.")
        tensors, owned = load_file(file), self.owned()
        if {n: t.shape for n, t in tensors.items()} != {n: p.shape for n, p in owned.items()}:
            raise ModelError(f"The {self.noun} in {folder} do not fit this model.")
        restore(owned, tensors)
