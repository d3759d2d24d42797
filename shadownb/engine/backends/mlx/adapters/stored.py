"""Adapters that no library saves: one safetensors file of their arrays beside a small JSON that describes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import mlx.core as mx

from shadownb.engine.backends.mlx.adapters.base import Adapter, Base
from shadownb.engine.backends.mlx.loading import read_arrays
from shadownb.errors import ModelError


class StoredAdapter(Adapter):
    """An adapter in files of the torch backend's form: ``<stem>.safetensors`` and ``<stem>_config.json``."""

    stem: ClassVar[str]

    @classmethod
    def description(cls, folder: Path) -> Path:
        """Return where the JSON of a saved adapter lies."""
        return folder / f"{cls.stem}_config.json"

    @classmethod
    def reads(cls, folder: Path) -> bool:
        return cls.description(folder).is_file()

    @classmethod
    def made_like(cls, base: Base, content: dict[str, Any]) -> Adapter:
        """Put an adapter of the shape that a description tells on a twin; its arrays are read afterwards."""
        raise NotImplementedError

    @classmethod
    def attach_saved(cls, base: Base, folder: Path) -> Adapter:
        adapter = cls.made_like(base, json.loads(cls.description(folder).read_text(encoding="utf-8")))
        adapter.load_into(folder)
        return adapter

    def described(self) -> dict[str, Any]:
        """Return the content of the JSON."""
        return {"type": self.stem, "base_model": self.base.name}

    def save(self, folder: Path) -> None:
        mx.save_safetensors(str(folder / f"{self.stem}.safetensors"), self.owned(), metadata={"format": "pt"})
        self.description(folder).write_text(json.dumps(self.described()), encoding="utf-8")

    def load_into(self, folder: Path) -> None:
        file = folder / f"{self.stem}.safetensors"
        if not file.is_file():
            raise ModelError(f"{folder} holds no {self.noun}.", fix=f"Give a checkpoint of a run with {self.noun}.")
        self.fill(read_arrays(file), folder)
