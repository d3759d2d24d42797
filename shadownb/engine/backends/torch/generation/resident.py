"""Adapters that answer beside the trained state: a few are kept, each on a twin of the base."""

from __future__ import annotations

import tempfile
from collections import OrderedDict
from pathlib import Path

from safetensors import SafetensorError

from shadownb.engine.backends.torch import surfaces
from shadownb.engine.backends.torch.generation.twin import TrainedBase, twin_of
from shadownb.engine.backends.torch.surfaces import Surface
from shadownb.engine.inference.adapters import AdapterId, AdapterSource
from shadownb.engine.ports.backend import ResidentAdapter
from shadownb.errors import ModelError, ShadowError

MOST = 4  # adapters that are kept; the one that was asked longest ago goes first


class ResidentAdapters:
    """The adapters beside one model's trained state. Whoever calls holds the gate, but for :meth:`held`."""

    def __init__(self, weights: TrainedBase) -> None:
        self._weights = weights
        self._surfaces: OrderedDict[AdapterId, tuple[Surface, ResidentAdapter]] = OrderedDict()

    def check(self, source: AdapterSource) -> None:
        """Raise ModelError where an adapter cannot answer here, as far as that is known without its tensors."""
        if self._weights.replaces_base:
            raise ModelError(
                f"use={source.name!r}: the weights of this model itself were trained, so an adapter has no base to stand on.",
                why="An adapter belongs to the weights that it was trained on.",
                fix="Load the base again beside this model, and ask the adapter there.",
            )
        if source.folder is None or not surfaces.kind_of(source.folder).replaces_base:
            return
        raise ModelError(
            f"use={source.name!r} is a whole model, not an adapter.",
            why="All of its weights were trained, so that it takes as much memory as this one and shares nothing with it.",
            fix=f"Load it: shadownb.load({str(source.folder)!r}).",
        )

    def surface(self, source: AdapterSource) -> Surface:
        """Return an adapter on its twin of the base; read where it is not here.

        Raises
        ------
        ModelError
            It cannot answer here, or does not fit.
        """
        self.check(source)
        if source.id not in self._surfaces:
            while len(self._surfaces) >= MOST:  # first, so that there is room for it
                self._surfaces.popitem(last=False)
            surface = self._read(source)
            surface.module.eval()
            self._surfaces[source.id] = surface, ResidentAdapter(source.id, source.name, self._bytes(surface))
        self._surfaces.move_to_end(source.id)
        return self._surfaces[source.id][0]

    def held(self) -> list[ResidentAdapter]:
        """Return what is here, the one that was asked last at the end."""
        return [facts for _, facts in list(self._surfaces.values())]

    def clear(self) -> None:
        """Let go of all."""
        self._surfaces.clear()

    def _read(self, source: AdapterSource) -> Surface:
        try:
            if source.folder is not None:
                return self._attached(source.folder)
            with tempfile.TemporaryDirectory(prefix="shadownb-adapter-") as folder:
                surfaces.write_tensors(source.tensors or {}, source.description or {}, Path(folder))
                return self._attached(Path(folder))
        except ShadowError as error:
            why, fix = f"{error.what} {error.why}".strip(), error.fix
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:  # files that are no adapter's
            why, fix = f"It cannot be read: {error}.", ""
        fix = fix or "Load the base that it was trained on, and ask it there."
        raise ModelError(f"use={source.name!r} cannot answer on this base.", why=why, fix=fix)

    def _attached(self, folder: Path) -> Surface:
        kind = surfaces.kind_of(folder)
        surface = kind.attach_saved(twin_of(self._weights, kind), folder)
        surface.module.requires_grad_(False)
        return surface

    def _bytes(self, surface: Surface) -> int:
        shared = {parameter.data_ptr() for parameter in self._weights.module.parameters()}
        own = (p for p in surface.module.parameters() if p.data_ptr() not in shared)
        return sum(parameter.numel() * parameter.element_size() for parameter in own)
