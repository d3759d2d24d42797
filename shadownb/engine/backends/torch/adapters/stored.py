"""Adapters that no library saves: ours to write, to find again and to put back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

from safetensors import SafetensorError
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
        adapter = cls._made_from(base, cls.read_description(folder), folder)
        try:
            adapter.load_into(folder)
        except BaseException:
            adapter.remove()
            raise
        return adapter

    @classmethod
    def _made_from(cls, base: Any, content: dict[str, Any], folder: Path) -> StoredAdapter:
        try:
            return cls.made_like(base, content)
        except (KeyError, TypeError, ValueError) as error:
            raise cls.unreadable(folder, error) from error

    @classmethod
    def read_description(cls, folder: Path) -> dict[str, Any]:
        """Return the content of the JSON. Raises ModelError where it is damaged."""
        try:
            content = json.loads(cls.description(folder).read_text(encoding="utf-8"))
            if not isinstance(content, dict):
                raise ValueError(f"{cls.description(folder).name} is no object")
        except (OSError, ValueError) as error:
            raise cls.unreadable(folder, error) from error
        return content

    @classmethod
    def read_tensors(cls, folder: Path) -> dict[str, Any]:
        """Return the saved tensors. Raises ModelError where they are not there or damaged."""
        file = cls._tensors(folder)
        if not file.is_file():
            raise ModelError(f"{folder} holds no {cls.noun}.", fix=f"Give a checkpoint of a run with {cls.noun}.")
        try:
            return load_file(file)
        except (OSError, SafetensorError) as error:
            raise cls.unreadable(folder, error) from error

    @classmethod
    def unreadable(cls, folder: Path, error: Exception) -> ModelError:
        """Return the error for a folder one of whose two files is damaged."""
        return ModelError(
            f"What {folder} holds ({cls.noun}) cannot be read: {error}.",
            why="One of its two files is damaged, or was written by something else. What this model carries is as before.",
            fix="Load another copy: a checkpoint of its run, or a folder that save() wrote.",
        )

    def save(self, folder: Path) -> None:
        save_file(for_file(self.owned()), self._tensors(folder))
        self.description(folder).write_text(json.dumps(self.described()), encoding="utf-8")

    def described(self) -> dict[str, Any]:
        """Return the content of the JSON."""
        return {"type": self.stem, "base_model": self.base_name}

    def load_into(self, folder: Path) -> None:
        tensors, owned = self.read_tensors(folder), self.owned()
        if {n: t.shape for n, t in tensors.items()} != {n: p.shape for n, p in owned.items()}:
            raise ModelError(f"The {self.noun} in {folder} do not fit this model.")
        restore(owned, tensors)
