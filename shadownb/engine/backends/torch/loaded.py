"""LoadedWeights: the module in memory, what it carries, and the base behind it.

At any time the weights are the base plus at most one surface; ``trained`` names the run and step that made it. Whoever
changes any of this holds the gate.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shadownb.engine.backends.torch.generation.borrowing import View, plain_view
from shadownb.engine.inference import WeightsGate
from shadownb.engine.loaded import beside
from shadownb.engine.loaded.hashing import weights_hash

if TYPE_CHECKING:
    import torch

    from shadownb.engine.backends.torch.surfaces import Surface
    from shadownb.engine.data.trained_on import TrainedOn
    from shadownb.engine.models.sources import Quantize


def saved_template(folder: Path) -> str | None:
    """Return the chat template that stands beside saved weights, None where there is none."""
    file = folder / "chat_template.jinja"
    try:
        if file.is_file():
            return file.read_text(encoding="utf-8") or None
        kept = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8")).get("chat_template")
    except (OSError, ValueError):
        return None
    return kept if isinstance(kept, str) and kept else None


class LoadedWeights:
    """Loaded weights and their one trained state.

    Attributes
    ----------
    module
        The torch module, with the surface on it where there is one; None once unloaded.
    carried
        The surface, or None for the bare base.
    trained
        (run id, step) of the trained state; None for the base and for adapters from elsewhere.
    saved_at
        Folder of an adapter that no run of ours made.
    chat_template
        The chat template that the trained state was trained with; None for the base's own.
    stepped
        (run id, step) of what the weights are while a run in this process trains them; None at other times.
    trained_on
        What the rows had in common that the trained state was made with, or the base where its folder says so; None
        where nothing is known.
    """

    def __init__(self, module: Any, *, name: str, source: str, device: str, dtype: str, quantization: Quantize | None):
        self.module = module
        self.carried: Surface | None = None
        self.trained: tuple[str, int] | None = None
        self.saved_at: Path | None = None
        self.chat_template: str | None = None
        self.stepped: tuple[str, int] | None = None
        self._base_trained_on = beside.trained_on(Path(source))  # of a merged model that was saved
        self.trained_on: TrainedOn | None = self._base_trained_on
        self.gate = WeightsGate()
        self._loading = {"device": device, "dtype": dtype, "quantize": quantization}
        self._name = name
        self._source = source
        self._hash: str | None = None
        self._copy: Any = None  # a second, read-only base, only where training replaced the base itself
        self._lock = threading.RLock()

    # -- the base ---------------------------------------------------------------------------------------------------

    @property
    def base_hash(self) -> str:
        """sha256 over the base's weight files: the same name can give other weights from another source."""
        if self._hash is None:
            self._hash = weights_hash(self._source)
        return self._hash

    def base_parameters(self) -> dict[str, torch.Tensor]:
        """Return the base's parameters by the names they have without a surface."""
        if self.carried is not None:
            return self.carried.base_parameters()
        return {name: parameter.detach() for name, parameter in self.module.named_parameters()}

    @property
    def base_bytes(self) -> int:
        """Bytes of the base's weights in memory."""
        return sum(parameter.numel() * parameter.element_size() for parameter in self.base_parameters().values())

    def base_module(self) -> Any:
        """Return the base's module, under whatever it carries."""
        return self.carried.base if self.carried is not None else self.module

    def base_copy(self) -> Any:
        """Return a second, read-only copy of the base, loaded when first asked for."""
        with self._lock:
            if self._copy is None:
                self._copy = self._fresh_base()
                self._copy.requires_grad_(False)
            return self._copy

    def _fresh_base(self) -> Any:
        from shadownb.engine.models.loading import load_base
        from shadownb.engine.models.sources import Source

        options: Any = self._loading
        return load_base(Source(self._name, self._source), **options)[0]

    def verify_base(self) -> tuple[bool, str]:
        """Compare every base weight in memory with its file; returns (whether all are equal, what was compared)."""
        import torch

        from shadownb.engine.backends.torch.quantized import parts

        if self.carried is not None and self.carried.replaces_base:
            self.base_copy()
            return True, f"training changed the base, so a second copy (sha256 {self.base_hash[:12]}) answers as base"
        fresh = dict(self._fresh_base().named_parameters())
        with self.gate.inference():
            mine = self.base_parameters()
            changed = [
                name
                for name, tensor in fresh.items()
                if name not in mine or not all(map(torch.equal, parts(mine[name]), parts(tensor)))
            ]
        quantized = self._loading["quantize"]
        file = f"the file in {quantized.replace('bit', ' bits')}" if quantized else "the file"
        if changed:
            return False, f"{len(changed)} of {len(fresh)} base tensors differ from {file}, first {changed[0]}"
        return True, f"all {len(fresh)} base tensors equal {file} (sha256 {self.base_hash[:12]})"

    def at_start(self, *, from_base: bool) -> tuple[Any, Surface | None]:
        """Return (module, what it carries) as a training would find them: of the fresh base, or as they are."""
        return (self.base_module(), None) if from_base else (self.module, self.carried)

    # -- the trained state ------------------------------------------------------------------------------------------

    def carry(self, surface: Surface | None) -> None:
        """Take a surface that was put on this module (called with the gate held)."""
        self.carried = surface
        if surface is not None:
            self.module = surface.module

    def carry_nothing(self) -> None:
        """Take off what was trained, so that the bare base is there again (called with the gate held)."""
        self.chat_template = None
        if self.carried is None:
            return
        if self.carried.replaces_base:
            self._reload_base()
        self.module, self.carried = self.carried.remove(), None

    def take(self, folder: Path, trained: tuple[str, int] | None) -> None:
        """Put the trained state that a folder holds on the base, trainable."""
        from shadownb.engine.backends.torch import surfaces

        with self.gate.inference():
            if self.carried is not None and self.carried.replaces_base and self.carried.reads(folder):
                self.carried.load_into(folder)  # every weight: nothing of what is there is left
            else:
                self.carry_nothing()  # what is there may be of another scale or shape than what is saved
                self._forget()
                self.carry(surfaces.attach_saved(self.module, folder))
            self.module.eval()
        self.trained = trained
        self.saved_at = folder.resolve() if trained is None else None
        self.chat_template = saved_template(folder)
        self.trained_on = beside.trained_on(folder)

    def take_in_place(self, run_id: str, step: int, trained_on: TrainedOn | None) -> None:
        """Note that the weights are those of a run's step: it was trained on this very module."""
        self.trained, self.saved_at, self.trained_on = (run_id, step), None, trained_on

    def go_to(self, start: dict[str, Any] | None) -> None:
        """Put the state back that a run started from (``model.start`` in its record), where the weights are of another."""
        path = Path(start["path"]) if start else None
        trained = (str(start["trained"][0]), int(start["trained"][1])) if start and start["trained"] else None
        if (self.trained, self.saved_at) == (trained, path if trained is None else None):
            return
        with self.gate.training():
            self.carry_nothing()
            self._forget()
            if path is not None:
                self.take(path, trained)

    def _forget(self) -> None:
        self.trained = self.saved_at = None
        self.trained_on = self._base_trained_on

    def _reload_base(self) -> None:
        import torch

        copy = self._copy if self._copy is not None else self._fresh_base()
        fresh = dict(copy.named_parameters())
        with torch.no_grad():
            for name, parameter in self.module.named_parameters():
                parameter.copy_(fresh[name])

    # -- answers ----------------------------------------------------------------------------------------------------

    def view(self) -> View:
        """Return how to generate with these weights as they are now (asked for with the gate held)."""
        carried = self.carried
        if carried is None:
            return plain_view(self.module)
        if carried.replaces_base:
            return View(carried.speaker, carried.switched_off, carried.prefix, base=self.base_copy)
        return View(carried.speaker, carried.switched_off, carried.prefix)

    def unload(self) -> None:
        """Free the weights."""
        self.module = self.carried = self._copy = None
