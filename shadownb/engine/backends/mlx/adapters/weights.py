"""The base's own weights, all of them (full fine-tuning)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlx.core as mx
from mlx.utils import tree_unflatten

from shadownb.engine.backends.mlx.adapters.base import Adapter, Arrays, Base, Slots
from shadownb.engine.backends.mlx.adapters.whole import save_whole, unknown_names
from shadownb.engine.backends.mlx.loading import read_arrays
from shadownb.engine.ports.reach import Reach
from shadownb.errors import MethodError, ModelError

if TYPE_CHECKING:
    from shadownb.engine.config import TrainConfig
    from shadownb.engine.methods import MethodSpec


class WeightsAdapter(Adapter):
    """Every weight of the model is trained."""

    kind = "weights"
    replaces_base = True
    separate = False
    noun = "weights that were trained"

    @classmethod
    def refuse(cls, base: Base, config: TrainConfig, spec: MethodSpec) -> None:
        unknown = unknown_names(base)
        if unknown:
            raise MethodError(
                f"method={config.method!r} is not there for {base.files.config.get('model_type')} on backend mlx.",
                why=f"mlx-lm keeps {unknown[0]} in another form than the files, so that what is trained could not be saved "
                "for other programs.",
                fix="Load it with backend='torch'.",
            )

    @classmethod
    def reach(cls, base: Base, config: TrainConfig, spec: MethodSpec) -> Reach:
        return Reach("all weights of the model")

    @classmethod
    def count(cls, base: Base, config: TrainConfig, spec: MethodSpec) -> int:
        return sum(int(owner[key].size) for owner, key in _slots(base).values())

    @classmethod
    def attach(cls, base: Base, config: TrainConfig, spec: MethodSpec) -> Adapter:
        return cls(base, _slots(base))

    @classmethod
    def reads(cls, folder: Path) -> bool:
        return any(folder.glob("model*.safetensors"))

    @classmethod
    def attach_saved(cls, base: Base, folder: Path) -> Adapter:
        adapter = cls(base, _slots(base))
        adapter.load_into(folder)
        return adapter

    def save(self, folder: Path) -> None:
        save_whole(self.base, self.module, folder)

    def load_into(self, folder: Path) -> None:
        files = sorted(folder.glob("model*.safetensors"))
        if not files:
            raise ModelError(f"{folder} holds no weights of a model.", fix="Give a checkpoint of a run of this method.")
        arrays: Arrays = {}
        for file in files:
            arrays |= read_arrays(file)
        if "lm_head.weight" not in self.slots:
            arrays.pop("lm_head.weight", None)  # tied to the embeddings
        self.fill(arrays, folder)
        mx.eval(self.owned())

    def merged(self, twin: Any) -> Any:
        twin.update(tree_unflatten(list(self.owned().items())))
        return twin


def _slots(base: Base) -> Slots:
    found: Slots = {}
    for name, part in base.module.named_modules():
        for key, value in part.items():
            if isinstance(value, mx.array) and not key.startswith("_"):
                found[f"{name}.{key}" if name else key] = part, key
    return found
