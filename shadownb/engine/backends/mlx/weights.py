"""MlxWeights: the base, what stands on a twin of it, and adapters beside; see :class:`shadownb.engine.ports.weights.Weights`."""

from __future__ import annotations

import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import mlx.core as mx

from shadownb.engine.backends.mlx import adapters, memory, worker
from shadownb.engine.backends.mlx.adapters import Adapter, Base
from shadownb.engine.backends.mlx.loading import Files, load_module, parameters
from shadownb.engine.backends.mlx.twin import twin_of
from shadownb.engine.backends.texts import cannot_answer, check_side, no_base_for, whole_model
from shadownb.engine.inference import WeightsGate
from shadownb.engine.inference.adapters import AdapterId, AdapterSource
from shadownb.engine.inference.types import Use
from shadownb.engine.loaded.hashing import weights_hash
from shadownb.engine.loaded.source import Source
from shadownb.engine.ports.decisions import Decision
from shadownb.engine.ports.weights import ResidentAdapter
from shadownb.errors import MethodError, OutOfMemoryError, ShadowError

MOST = 4  # adapters beside the trained state that are kept
T = TypeVar("T")


@dataclass(frozen=True)
class Place:
    """Where weights are."""

    type: str

    def __str__(self) -> str:
        return self.type


class MlxWeights:
    """Loaded weights and their one trained state.

    Attributes
    ----------
    adapter
        The adapter, or None for the bare base.
    """

    def __init__(
        self, module: Any, files: Files, source: Source, decisions: dict[str, Decision], gate: WeightsGate
    ) -> None:
        self._base: Any = module  # None while all of its weights are trained, until it is asked
        self._like = twin_of(module)  # its modules, whatever arrays they have
        self.adapter: Adapter | None = None
        self._files, self._source, self._decisions, self._gate = files, source, decisions, gate
        self._beside: OrderedDict[AdapterId, tuple[Adapter, ResidentAdapter]] = OrderedDict()
        self._lock = threading.RLock()
        self._loaded = True
        self._size = self._bytes = 0
        self._measure(module)

    def _measure(self, module: Any) -> None:
        for _, layer in module.named_modules():
            for key, value in layer.items():
                if not isinstance(value, mx.array) or key.startswith("_"):
                    continue
                self._bytes += value.nbytes
                packed = hasattr(layer, "bits") and key == "weight"
                beside = hasattr(layer, "bits") and key in ("scales", "biases")
                self._size += 0 if beside else value.size * 32 // layer.bits if packed else value.size

    # -- facts ------------------------------------------------------------------------------------------------------

    @property
    def module(self) -> Any:
        """The model with what it carries; None once unloaded."""
        if not self._loaded:
            return None
        return self.adapter.module if self.adapter is not None else self._base

    @property
    def kind(self) -> str | None:
        """What is trained on it; None for the bare base."""
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
        """How many learned embeddings stand before every row: none here; None for the bare base."""
        return 0 if self.adapter is not None else None

    @property
    def device(self) -> Place:
        """Where the weights are."""
        return Place(str(self._decisions["device"][0]))

    @property
    def dtype(self) -> Any:
        """The number format of the base."""
        return getattr(mx, str(self._decisions["dtype"][0]))

    @property
    def positions(self) -> int | None:
        """How many positions the architecture has, as far as mlx-lm computes it; None where nothing sets a limit."""
        config = self._files.config
        text = config.get("text_config") or config
        limits = text.get("max_position_embeddings", text.get("n_positions")), self._files.window
        known = [limit for limit in limits if isinstance(limit, int) and limit > 0]
        return min(known, default=None)

    @property
    def config(self) -> dict[str, Any]:
        """The base's ``config.json``, of its text model."""
        found: dict[str, Any] = self._files.config.get("text_config") or self._files.config
        return found

    @property
    def parameters_total(self) -> int:
        """Number of weights of the base."""
        return self._size

    @property
    def base_bytes(self) -> int:
        """Bytes of the base's weights in memory."""
        return self._bytes

    @property
    def unread_bytes(self) -> int:
        """MLX has read all of them when they are loaded."""
        return 0

    @property
    def merges_dense(self) -> bool:
        """Merged layers are plain ones here."""
        return True

    def identity(self) -> list[Any] | None:
        """Return what tells the trained state from all others, from its arrays themselves; None for the bare base."""
        adapter = self.adapter
        if adapter is None:
            return None
        return [adapter.kind, adapter.shape(), worker.run(lambda: adapters.digest(adapter.owned()))]

    # -- the base ---------------------------------------------------------------------------------------------------

    def base_module(self) -> Any:
        """Return the bare base; read again where all of its weights were trained."""
        with self._lock:
            if self._base is None:
                self._base = self._fresh()
            return self._base

    def plain(self, *, own: bool = True) -> Base:
        """Return the base for an adapter: a twin that is its own, or the modules alone to look at."""
        module = worker.run(lambda: twin_of(self.base_module())) if own else self._like
        return Base(module, self._files, self._source.location)

    def _fresh(self) -> Any:
        return worker.run(lambda: load_module(self._source, dict(self._decisions))[0])

    def base_copy(self) -> Any:
        """Return a model of the base that nobody trains; it costs no numbers."""
        return worker.run(lambda: twin_of(self.base_module()))

    def verify_base(self) -> tuple[bool, str]:
        """Compare every base weight in memory with its file; returns (whether all are equal, what was compared)."""
        digest = weights_hash(self._source.location)[:12]
        fresh = self._fresh()

        def compared() -> tuple[int, list[str]]:
            mine, theirs = parameters(self.base_module()), parameters(fresh)
            unlike = [n for n, a in theirs.items() if n not in mine or not bool(mx.array_equal(mine[n], a).item())]
            return len(theirs), unlike

        with self._gate.inference():
            count, changed = worker.run(compared)
        quantized = self._decisions["quantization"][0]
        file = f"the file in {quantized.replace('bit', ' bits')}" if quantized else "the file"
        if changed:
            return False, f"{len(changed)} of {count} base tensors differ from {file}, first {changed[0]}"
        return True, f"all {count} base tensors equal {file} (sha256 {digest})"

    # -- the trained state ------------------------------------------------------------------------------------------

    def attach(self, adapter: Adapter) -> None:
        """Take an adapter that was put on a twin of this base."""
        self.adapter = adapter
        if adapter.replaces_base:
            self._base = None  # or the model would be in memory twice; it is read again when it is asked

    def detach_adapter(self) -> None:
        """Take off what was trained, so that the bare base is there again."""
        if self.adapter is not None:
            self.base_module()
            self.adapter = None

    def load_adapter(self, folder: Path) -> None:
        """Put the trained state that a folder holds on the base, in the place of whatever is there, trainable."""
        kind = adapters.kind_of(folder)
        self.detach_adapter()
        self.attach(self._evaluated(lambda: kind.attach_saved(self.plain(), folder)))

    def _evaluated(self, made: Callable[[], Adapter]) -> Adapter:
        def there() -> Adapter:
            adapter = made()
            mx.eval(adapter.owned())
            return adapter

        return worker.run(there)

    def prepared(self, config: Any, name: str) -> Adapter:
        """Return the method's new adapter on a twin of the base."""
        base = self.plain()
        return self._evaluated(lambda: adapters.prepare(Base(base.module, base.files, name), config))

    def check_format(self, config: Any) -> None:
        """Raise MethodError for a training in fp16, whose small gradients would become zero without a scale."""
        if self.dtype == mx.float16:
            raise MethodError(
                f"method={config.method!r}: a base in float16 cannot be trained on backend mlx.",
                why="Small gradients become zero in it, and MLX has no scale for them.",
                fix="Load it with dtype='bfloat16' or 'float32'.",
            )

    # -- out --------------------------------------------------------------------------------------------------------

    def answering(self, use: Use) -> Any:
        """Return the model that answers for one side, as it is now; the gate is held."""
        if isinstance(use, AdapterSource):
            return self._resident(use).module
        check_side(use)
        return self.base_module() if use == "base" or self.adapter is None else self.adapter.module

    @property
    def resident(self) -> list[ResidentAdapter]:
        """The adapters beside the trained state that are in memory, the one that was asked last at the end."""
        return [facts for _, facts in list(self._beside.values())]

    def check_beside(self, source: AdapterSource) -> None:
        """Raise ModelError where an adapter cannot answer beside what is here."""
        if self.replaces_base:
            raise no_base_for(source.name)
        if source.folder is None or not adapters.kind_of(source.folder).replaces_base:
            return
        raise whole_model(source.name, source.folder)

    def _resident(self, source: AdapterSource) -> Adapter:
        self.check_beside(source)
        if source.id not in self._beside:
            while len(self._beside) >= MOST:  # first, so that there is room for it
                self._beside.popitem(last=False)
            adapter = self._read(source)
            size = sum(int(array.nbytes) for array in adapter.owned().values())
            self._beside[source.id] = adapter, ResidentAdapter(source.id, source.name, size)
        self._beside.move_to_end(source.id)
        return self._beside[source.id][0]

    def _read(self, source: AdapterSource) -> Adapter:
        try:
            if source.folder is not None:
                folder = source.folder
                return self._evaluated(lambda: adapters.attach_saved(self.plain(), folder))
            with tempfile.TemporaryDirectory(prefix="shadownb-adapter-") as place:
                tensors, description = source.tensors or {}, source.description or {}
                worker.run(lambda: adapters.write_tensors(tensors, description, Path(place)))
                return self._evaluated(lambda: adapters.attach_saved(self.plain(), Path(place)))
        except ShadowError as error:
            why, fix = f"{error.what} {error.why}".strip(), error.fix
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:  # files that are no adapter's
            if memory.is_out_of_memory(error):
                raise OutOfMemoryError(f"use={source.name!r} does not fit beside the model.", why=str(error)) from error
            why, fix = f"It cannot be read: {error}.", ""
        raise cannot_answer(source.name, why, fix)

    def free_resident(self) -> None:
        """Free the adapters beside the trained state."""
        self._beside.clear()

    def save(self, folder: Path) -> None:
        """Write what was trained, apart from the base."""
        adapter = self.adapter
        assert adapter is not None
        worker.run(lambda: adapter.save(folder))

    def save_whole(self, folder: Path) -> None:
        """Write a whole model with what was trained in its weights; this one stays as it is."""
        adapter = self.adapter

        def there() -> None:
            twin = twin_of(self._like if adapter is not None and adapter.replaces_base else self.base_module())
            whole = adapter.merged(twin) if adapter is not None else twin
            adapters.save_whole(self.plain(own=False), whole, folder)

        worker.run(there)

    def unload(self) -> None:
        """Free the weights, and the adapters beside them."""
        self._beside.clear()
        self._loaded, self._base, self._like, self.adapter = False, None, None, None
