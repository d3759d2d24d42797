"""TorchWeights: the module in memory, what it carries, and the base behind it; implements :class:`~..ports.weights.Weights`."""

from __future__ import annotations

import copy
import hashlib
import threading
from pathlib import Path
from typing import Any

import torch

from shadownb.engine.backends.torch import adapters, memory
from shadownb.engine.backends.torch.adapters import Adapter
from shadownb.engine.backends.torch.adapters.weights import save_whole
from shadownb.engine.backends.torch.generation.borrowing import View, max_positions, own_side, plain_view
from shadownb.engine.backends.torch.generation.resident import ResidentAdapters
from shadownb.engine.backends.torch.loading import load_module
from shadownb.engine.backends.torch.quantized import parts
from shadownb.engine.inference import WeightsGate
from shadownb.engine.inference.adapters import AdapterSource
from shadownb.engine.inference.types import Use
from shadownb.engine.loaded.hashing import weight_files, weights_hash
from shadownb.engine.loaded.source import Source
from shadownb.engine.ports.decisions import Decision
from shadownb.engine.ports.weights import ResidentAdapter


class TorchWeights:
    """Loaded weights and their one trained state.

    Attributes
    ----------
    module
        The torch module, with the adapter on it where there is one; None once unloaded.
    adapter
        The adapter, or None for the bare base.
    """

    def __init__(self, module: Any, source: Source, decisions: dict[str, Decision], gate: WeightsGate) -> None:
        self.module = module
        self.adapter: Adapter | None = None
        self._source = source
        self._decisions = decisions
        self._gate = gate
        self._copy: Any = None  # a second, read-only base, only where training replaced the base itself
        self._beside = ResidentAdapters(self)
        self._lock = threading.RLock()

    # -- facts ------------------------------------------------------------------------------------------------------

    @property
    def kind(self) -> str | None:
        """What is trained on it: ``lora``, ``weights``, ``prompt``, ...; None for the bare base."""
        return self.adapter.kind if self.adapter is not None else None

    @property
    def separate(self) -> bool:
        """Whether what was trained exists apart from the whole model."""
        return self.adapter is not None and self.adapter.separate

    @property
    def replaces_base(self) -> bool:
        """Whether the base is no longer there to answer for itself."""
        return self.adapter is not None and self.adapter.replaces_base

    @property
    def virtual_tokens(self) -> int | None:
        """How many learned embeddings stand before every row; None for the bare base."""
        return self.adapter.virtual_tokens if self.adapter is not None else None

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        found: torch.device = next(self.module.parameters()).device
        return found

    @property
    def dtype(self) -> torch.dtype:
        """The number format that training computes in."""
        return getattr(torch, str(self._decisions["dtype"][0]))  # type: ignore[no-any-return]

    @property
    def positions(self) -> int | None:
        """How many positions the architecture has; None where it sets no limit."""
        return max_positions(self.base_module())

    @property
    def parameters_total(self) -> int:
        """Number of weights of the base."""
        parameters = self.base_parameters().values()
        return sum(p.numel() * (2 if p.dtype == torch.uint8 else 1) for p in parameters)  # 4 bits: two in a byte

    @property
    def base_bytes(self) -> int:
        """Bytes of the base's weights in memory."""
        return sum(parameter.numel() * parameter.element_size() for parameter in self.base_parameters().values())

    @property
    def unread_bytes(self) -> int:
        """Bytes of the base's weights that are mapped from their files and were not read into memory yet."""
        return memory.unread_bytes(weight_files(self._source.location)) if self.device.type == "cpu" else 0

    @property
    def merges_dense(self) -> bool:
        """bitsandbytes merges into its own bits."""
        return False

    def identity(self) -> list[Any] | None:
        """Return what tells the trained state from all others, from its tensors themselves; None for the bare base."""
        if self.adapter is None:
            return None
        digest = hashlib.sha256()
        for name, tensor in self.adapter.owned().items():
            data = tensor.detach().to("cpu").contiguous()
            digest.update(f"{name}:{data.dtype}:{tuple(data.shape)}".encode())
            digest.update(data.reshape(-1).view(torch.uint8).numpy().tobytes())
        peft = getattr(self.module, "peft_config", {})
        described = {name: config.to_dict() for name, config in peft.items()} if isinstance(peft, dict) else {}
        return [self.adapter.kind, self.adapter.shape(), described, digest.hexdigest()]

    # -- the base ---------------------------------------------------------------------------------------------------

    def base_parameters(self) -> dict[str, torch.Tensor]:
        """Return the base's parameters by the names they have without an adapter."""
        if self.adapter is not None:
            return self.adapter.base_parameters()
        return {name: parameter.detach() for name, parameter in self.module.named_parameters()}

    def base_module(self) -> Any:
        """Return the base's module, under whatever it carries."""
        return self.adapter.base if self.adapter is not None else self.module

    def base_copy(self) -> Any:
        """Return a second, read-only copy of the base, loaded when first asked for."""
        with self._lock:
            if self._copy is None:
                self._copy = self._fresh_base()
                self._copy.requires_grad_(False)
            return self._copy

    def _fresh_base(self) -> Any:
        return load_module(self._source, self._decisions)[0]

    def verify_base(self) -> tuple[bool, str]:
        """Compare every base weight in memory with its file; returns (whether all are equal, what was compared)."""
        digest = weights_hash(self._source.location)[:12]
        if self.replaces_base:
            self.base_copy()
            return True, f"training changed the base, so a second copy (sha256 {digest}) answers as base"
        fresh = dict(self._fresh_base().named_parameters())
        with self._gate.inference():
            mine = self.base_parameters()
            changed = [
                name
                for name, tensor in fresh.items()
                if name not in mine or not all(map(torch.equal, parts(mine[name]), parts(tensor)))
            ]
        quantized = self._decisions["quantization"][0]
        file = f"the file in {quantized.replace('bit', ' bits')}" if quantized else "the file"
        if changed:
            return False, f"{len(changed)} of {len(fresh)} base tensors differ from {file}, first {changed[0]}"
        return True, f"all {len(fresh)} base tensors equal {file} (sha256 {digest})"

    def at_start(self, *, from_base: bool) -> tuple[Any, Adapter | None]:
        """Return (module, what it carries) as a training would find them: of the fresh base, or as they are."""
        return (self.base_module(), None) if from_base else (self.module, self.adapter)

    # -- the trained state ------------------------------------------------------------------------------------------

    def attach(self, adapter: Adapter) -> None:
        """Take an adapter that was put on this module."""
        self.adapter, self.module = adapter, adapter.module

    def detach_adapter(self) -> None:
        """Take off what was trained, so that the bare base is there again."""
        if self.adapter is None:
            return
        if self.adapter.replaces_base:
            self._reload_base()
        self.module, self.adapter = self.adapter.remove(), None

    def load_adapter(self, folder: Path) -> None:
        """Put the trained state that a folder holds on the base, in the place of whatever is there, trainable."""
        if self.adapter is not None and self.adapter.replaces_base and self.adapter.reads(folder):
            self.adapter.load_into(folder)  # every weight: nothing of what is there is left
        else:
            self.detach_adapter()  # what is there may be of another scale or shape than what is saved
            self.attach(adapters.attach_saved(self.module, folder))
        self.module.eval()

    def _reload_base(self) -> None:
        copy = self._copy if self._copy is not None else self._fresh_base()
        fresh = dict(copy.named_parameters())
        with torch.no_grad():
            for name, parameter in self.module.named_parameters():
                parameter.copy_(fresh[name])

    # -- out --------------------------------------------------------------------------------------------------------

    def adapter_of(self, use: Use) -> Adapter | None:
        """Return what stands on the base where ``use`` answers; None where the base alone does."""
        if isinstance(use, AdapterSource):
            return self._beside.adapter(use)
        return None if use == "base" else self.adapter

    def view(self, use: Use = "tuned") -> View:
        """Return how to generate with one side of these weights as they are now."""
        adapter = self._beside.adapter(use) if isinstance(use, AdapterSource) else self.adapter
        if adapter is None:
            found = plain_view(self.module)
        else:
            base = self.base_copy if adapter.replaces_base else None
            found = View(
                adapter.speaker,
                adapter.switched_off,
                adapter.prefix,
                base,
                adapter.virtual_tokens,
                adapter.routed,
                adapter.asks,
            )
        return found.side(own_side(use))

    @property
    def resident(self) -> list[ResidentAdapter]:
        """The adapters beside the trained state that are in memory."""
        return self._beside.held()

    def check_beside(self, source: AdapterSource) -> None:
        """Raise ModelError where an adapter cannot answer beside what is here."""
        self._beside.check(source)

    def free_resident(self) -> None:
        """Free the adapters beside the trained state."""
        self._beside.clear()

    def save(self, folder: Path) -> None:
        """Write what was trained, apart from the base."""
        assert self.adapter is not None
        self.adapter.save(folder)

    def save_whole(self, folder: Path) -> None:
        """Write a whole model with what was trained in its weights; this one stays as it is."""
        save_whole(self.adapter.merged() if self.adapter is not None else self.module, folder)

    def save_exact(self, folder: Path) -> None:
        """Write a whole model in 32 bits with what was trained in its weights; this one stays as it is."""
        if self.adapter is None:
            save_whole(copy.deepcopy(self.module).float(), folder)
            return
        wide = copy.copy(self.adapter)
        wide.module = copy.deepcopy(self.adapter.module).float()
        save_whole(wide.merged(), folder)

    def unload(self) -> None:
        """Free the weights, and the adapters beside them."""
        self._beside.clear()
        self.module = self.adapter = self._copy = None
