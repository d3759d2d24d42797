"""Adapters that answer beside the trained state: a few are kept, each on a twin of the base."""

from __future__ import annotations

import tempfile
from collections import OrderedDict
from pathlib import Path

from safetensors import SafetensorError

from shadownb.engine.backends.texts import cannot_answer, no_base_for, whole_model
from shadownb.engine.backends.torch import adapters
from shadownb.engine.backends.torch.adapters import Adapter
from shadownb.engine.backends.torch.generation.twin import TrainedBase, twin_of
from shadownb.engine.inference.adapters import AdapterId, AdapterSource
from shadownb.engine.loaded.rewarding import REWARD, gives_no_text
from shadownb.engine.ports.weights import ResidentAdapter
from shadownb.errors import ShadowError

MOST = 4  # adapters that are kept; the one that was asked longest ago goes first


class ResidentAdapters:
    """The adapters beside one model's trained state. Whoever calls holds the gate, but for :meth:`held`."""

    def __init__(self, weights: TrainedBase) -> None:
        self._weights = weights
        self._held: OrderedDict[AdapterId, tuple[Adapter, ResidentAdapter]] = OrderedDict()

    def check(self, source: AdapterSource) -> None:
        """Raise ModelError where an adapter cannot answer here, as far as that is known without its tensors."""
        if self._weights.replaces_base:
            raise no_base_for(source.name)
        if source.folder is None:
            return
        kind = adapters.kind_of(source.folder)
        if kind.kind == REWARD:
            raise gives_no_text(f"use={source.name!r}")
        if kind.replaces_base:
            raise whole_model(source.name, source.folder)

    def adapter(self, source: AdapterSource) -> Adapter:
        """Return an adapter on its twin of the base; read where it is not here.

        Raises
        ------
        ModelError
            It cannot answer here, or does not fit.
        """
        self.check(source)
        if source.id not in self._held:
            while len(self._held) >= MOST:  # first, so that there is room for it
                self._held.popitem(last=False)
            adapter = self._read(source)
            adapter.module.eval()
            self._held[source.id] = adapter, ResidentAdapter(source.id, source.name, self._bytes(adapter))
        self._held.move_to_end(source.id)
        return self._held[source.id][0]

    def held(self) -> list[ResidentAdapter]:
        """Return what is here, the one that was asked last at the end."""
        return [facts for _, facts in list(self._held.values())]

    def clear(self) -> None:
        """Let go of all."""
        self._held.clear()

    def _read(self, source: AdapterSource) -> Adapter:
        try:
            if source.folder is not None:
                return self._attached(source.folder)
            with tempfile.TemporaryDirectory(prefix="shadownb-adapter-") as folder:
                adapters.write_tensors(source.tensors or {}, source.description or {}, Path(folder))
                return self._attached(Path(folder))
        except ShadowError as error:
            why, fix = f"{error.what} {error.why}".strip(), error.fix
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:  # files that are no adapter's
            why, fix = f"It cannot be read: {error}.", ""
        raise cannot_answer(source.name, why, fix)

    def _attached(self, folder: Path) -> Adapter:
        kind = adapters.kind_of(folder)
        adapter = kind.attach_saved(twin_of(self._weights, kind), folder)
        adapter.module.requires_grad_(False)
        return adapter

    def _bytes(self, adapter: Adapter) -> int:
        shared = {parameter.data_ptr() for parameter in self._weights.module.parameters()}
        own = (p for p in adapter.module.parameters() if p.data_ptr() not in shared)
        return sum(parameter.numel() * parameter.element_size() for parameter in own)
