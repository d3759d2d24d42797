"""GgufWeights: an open file and the adapters on and beside it; implements :class:`~..ports.weights.Weights`, and trains nothing."""

from __future__ import annotations

import tempfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

from shadownb.engine.backends.llamacpp.file import GgufFile
from shadownb.engine.inference.adapters import AdapterSource
from shadownb.engine.inference.types import Use
from shadownb.engine.loaded.hashing import weights_hash
from shadownb.engine.ports.weights import ResidentAdapter
from shadownb.errors import ExportError, ModelError

_KEPT = 4  # adapters beside the one on the model


class _Place:
    """Where the weights are, as a device says it."""

    type = "cpu"

    def __str__(self) -> str:
        return self.type


class GgufWeights:
    """Weights in a GGUF file.

    Attributes
    ----------
    module
        The open file; None once unloaded.
    adapter
        The file of the adapter on it; None for the file alone.
    """

    separate = False
    replaces_base = False
    virtual_tokens = None
    merges_dense = False
    unread_bytes = 0

    def __init__(self, file: GgufFile) -> None:
        self.module: GgufFile | None = file
        self.adapter: Path | None = None
        self._beside: OrderedDict[AdapterSource, Path] = OrderedDict()
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._count = 0
        self.device = _Place()

    @property
    def file(self) -> GgufFile:
        """The open file."""
        assert self.module is not None, "callers ask require_loaded()"
        return self.module

    @property
    def kind(self) -> str | None:
        """``lora`` where an adapter is on it."""
        return None if self.adapter is None else "lora"

    @property
    def positions(self) -> int | None:
        """How many positions the architecture has."""
        return self.file.positions

    @property
    def parameters_total(self) -> int:
        """Number of weights."""
        return self.file.parameters

    @property
    def base_bytes(self) -> int:
        """Bytes of the tensors in memory."""
        return self.file.bytes

    # -- adapters ---------------------------------------------------------------------------------------------------

    def adapter_of(self, use: Use) -> Path | None:
        """Return the file of the adapter that answers for a side; None for the file alone."""
        if not isinstance(use, AdapterSource):
            return self.adapter if use == "tuned" else None
        if use not in self._beside:
            self.check_beside(use)
            assert use.folder is not None, "check_beside refuses tensors"
            self._beside[use] = self._as_gguf(use.folder)
            while len(self._beside) > _KEPT:
                _, old = self._beside.popitem(last=False)
                self._drop(old)
        self._beside.move_to_end(use)
        return self._beside[use]

    def load_adapter(self, folder: Path) -> None:
        """Put the adapter of a folder on the file: one in GGUF, or one of peft's, which is written so."""
        self.detach_adapter()
        found = self._as_gguf(folder)
        self.file.adapter(found)  # refused here where it does not fit
        self.adapter = found

    def detach_adapter(self) -> None:
        """Take the adapter off."""
        if self.adapter is not None:
            self._drop(self.adapter)
            self.adapter = None

    def _as_gguf(self, folder: Path) -> Path:
        ready = sorted(folder.glob("*.gguf"))
        if ready:
            return ready[0]
        from shadownb.engine.gguf.adapter import write_adapter
        from shadownb.engine.gguf.layout import Layout

        if self._scratch is None:
            self._scratch = tempfile.TemporaryDirectory(prefix="shadownb-gguf-")
        self._count += 1
        target = Path(self._scratch.name) / f"adapter-{self._count}.gguf"
        write_adapter(folder, Layout.of_file(self.file.said), target)
        return target

    def _drop(self, path: Path) -> None:
        self.file.drop_adapter(path)
        if self._scratch is not None and path.parent == Path(self._scratch.name):
            path.unlink(missing_ok=True)

    @property
    def resident(self) -> list[ResidentAdapter]:
        """The adapters beside the one on the model that are in memory."""
        return [ResidentAdapter(each.id, each.name, path.stat().st_size) for each, path in self._beside.items()]

    def check_beside(self, source: AdapterSource) -> None:
        """Raise ModelError where an adapter cannot answer beside what is here."""
        folder = source.folder
        if folder is None or not ((folder / "adapter_config.json").is_file() or any(folder.glob("*.gguf"))):
            raise ModelError(
                f"use={source.name!r} cannot answer on a GGUF file: llama.cpp adds LoRA adapters from files, and no other.",
                fix="Save it with model.save(folder), or ask it on the model that it was trained on.",
            )

    def free_resident(self) -> None:
        """Free the adapters beside the one on the model."""
        while self._beside:
            self._drop(self._beside.popitem()[1])

    def identity(self) -> list[Any] | None:
        """Return what tells the adapter from all others; None for the file alone."""
        if self.adapter is None:
            return None
        from shadownb.engine.disk import sha256_of

        return ["gguf-lora", sha256_of(self.adapter)]

    # -- what a file does not do ------------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Raise ExportError: the file is what there is."""
        raise self._refused()

    def save_whole(self, folder: Path) -> None:
        """Raise ExportError: the file is what there is."""
        raise self._refused()

    def _refused(self) -> ExportError:
        return ExportError(
            f"{self.file.path.name} is an exported file, and nothing more can be made of it.",
            fix="Export from the model that it was made of.",
        )

    def verify_base(self) -> tuple[bool, str]:
        """Return that the file in memory is the one on the disk: it is mapped from there."""
        return True, f"{self.file.path.name} is mapped from its file (sha256 {weights_hash(str(self.file.path))[:12]})"

    def unload(self) -> None:
        """Free the file and its adapters."""
        if self.module is not None:
            self.free_resident()
            self.detach_adapter()
            self.module.close()
            self.module = None
        if self._scratch is not None:
            self._scratch.cleanup()
            self._scratch = None
