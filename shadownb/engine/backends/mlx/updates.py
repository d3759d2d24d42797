"""What moves the weights of a training: optimizer, 32-bit copies, a scalar head, clipping; and its files."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlx.core as mx

from shadownb.engine.backends.mlx.adapters import Adapter
from shadownb.engine.backends.mlx.arrays import number
from shadownb.engine.backends.mlx.loading import read_arrays
from shadownb.engine.backends.mlx.optimizers import make_optimizer
from shadownb.engine.backends.texts import not_finite, other_backend
from shadownb.errors import CheckpointError

if TYPE_CHECKING:
    from shadownb.engine.config import TrainConfig

Arrays = dict[str, Any]
OPTIMIZER, GROUPS, HEAD_FILE = "optimizer.safetensors", "optimizer.json", "head.safetensors"
HEAD = "head."  # begins the names of the scalar head's arrays
DECAYED, PLAIN, OF_HEAD = "True", "False", "head"  # whose optimizer; the first two as checkpoints have had them
_NOT_DECAYED = re.compile(r"bias|layernorm|rmsnorm|(?:^|\.)norm(?:$|\.)|_norm(?:$|\.)")
_APART = "|"  # between a name and a part of the optimizer's state


class WeightUpdates:
    """The updates of an adapter's arrays.

    Attributes
    ----------
    copies
        Arrays in 32 bits of what is trained in 16, which alone are moved.
    head
        The scalar head's arrays; empty where there is none.
    rate
        The learning rate of the newest update.
    """

    def __init__(
        self, adapter: Adapter, config: TrainConfig, optimizer: str, *, width: int | None, head_rate: float = 1.0
    ) -> None:
        self.adapter, self.rate, self.name = adapter, 0.0, optimizer
        self._config = config
        owned = adapter.owned()
        self.copies = {name: a.astype(mx.float32) for name, a in owned.items() if a.dtype != mx.float32}
        self.head: Arrays = (
            {} if width is None else {f"{HEAD}weight": mx.zeros((width,)), f"{HEAD}bias": mx.zeros((1,))}
        )
        mx.eval(self.copies, self.head)
        self.grads: Arrays | None = None
        self._head_rate = head_rate
        self._kinds = {name: self._kind(name) for name in (*owned, *self.head)}
        self._optimizers = {
            kind: make_optimizer(optimizer, config.weight_decay if kind == DECAYED else 0.0)
            for kind in (DECAYED, PLAIN, *((OF_HEAD,) if self.head else ()))
        }

    @staticmethod
    def _kind(name: str) -> str:
        if name.startswith(HEAD):
            return OF_HEAD
        return PLAIN if _NOT_DECAYED.search(name) else DECAYED

    @property
    def optimizer(self) -> Any:
        """The optimizer of what decays."""
        return self._optimizers[DECAYED]

    def arrays(self) -> Arrays:
        """Return what gradients are computed of, by name."""
        return {**self.adapter.owned(), **self.head}

    def put(self, arrays: Arrays) -> None:
        """Put arrays in their places; the head's are handed to it by whoever computes."""
        self.adapter.put({name: array for name, array in arrays.items() if not name.startswith(HEAD)})

    def add(self, grads: Arrays, value: Any) -> None:
        """Add the gradients of a pass, in 32 bits, and compute its loss with them."""
        grads = {name: grad.astype(mx.float32) for name, grad in grads.items()}
        self.grads = grads if self.grads is None else {name: self.grads[name] + grads[name] for name in grads}
        mx.eval(self.grads, value)  # or the graphs of all passes would be alive at once

    def keep_heads_gradients(self) -> None:
        """Drop the gradients of all but the head, so that the step moves nothing else."""
        if self.grads is not None:
            self.grads = {name: grad for name, grad in self.grads.items() if name.startswith(HEAD)}

    def apply(self, rate: float, *, after: int) -> float:
        """Clip and move the weights; returns the norm before clipping."""
        assert self.grads is not None
        self.rate = rate
        squares = [mx.sum(mx.square(grad)) for grad in self.grads.values()]
        mx.eval(squares)
        norm = math.sqrt(sum(map(number, squares)))
        if not math.isfinite(norm):
            raise not_finite("gradient norm", norm, after=after, rate=rate)
        most = self._config.max_grad_norm
        scale = min(1.0, most / (norm + 1e-6)) if most else 1.0
        grads = {name: grad * scale for name, grad in self.grads.items()} if scale < 1 else self.grads
        moved: Arrays = {}
        for kind, optimizer in self._optimizers.items():
            part = {name: grad for name, grad in grads.items() if self._kinds[name] == kind}
            if part:
                optimizer.learning_rate = rate * self._head_rate if kind == OF_HEAD else rate
                moved |= optimizer.apply_gradients(part, {**self.arrays(), **self.copies})
        mx.eval(moved, [optimizer.state for optimizer in self._optimizers.values()])
        self._take(moved)
        self.grads = None
        return norm

    def _take(self, moved: Arrays) -> None:
        owned = self.adapter.owned()
        now: Arrays = {**owned, **self.head, **self.copies, **moved}  # what a step of the head alone leaves stays
        self.head = {name: now[name] for name in self.head}
        self.copies = {name: now[name] for name in self.copies}
        narrow = {name: now[name].astype(array.dtype) for name, array in owned.items()}
        mx.eval(narrow)
        self.adapter.put(narrow)

    # -- kept -------------------------------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write the optimizer's state, the 32-bit copies and the head."""
        arrays = {f"copy{_APART}{name}": array for name, array in self.copies.items()}
        steps = {}
        for kind, optimizer in self._optimizers.items():
            steps[kind] = int(optimizer.state["step"].item())
            for name, state in optimizer.state.items():
                if isinstance(state, dict):
                    arrays |= {f"state{_APART}{name}{_APART}{key}": array for key, array in state.items()}
        mx.save_safetensors(str(folder / OPTIMIZER), arrays)
        if self.head:  # in the form of the torch backend's
            weight, bias = self.head[f"{HEAD}weight"][None], self.head[f"{HEAD}bias"]
            mx.save_safetensors(str(folder / HEAD_FILE), {"weight": weight, "bias": bias})
        said = {"backend": "mlx", "optimizer": type(self.optimizer).__name__, "steps": steps}
        (folder / GROUPS).write_text(json.dumps(said), encoding="utf-8")

    def load(self, folder: Path) -> None:
        """Read what :meth:`save` wrote; rate and decay are those of the config.

        Raises
        ------
        CheckpointError
            It is of another optimizer, backend, or of other weights.
        """
        said = json.loads((folder / GROUPS).read_text(encoding="utf-8"))
        mine = type(self.optimizer).__name__
        if said.get("backend") != "mlx":
            raise other_backend(said.get("backend", "torch"), "mlx")
        if said.get("optimizer") != mine:
            raise CheckpointError(
                f"The checkpoint's optimizer is not backend mlx's {mine}: optim={self._config.optim!r} cannot go on with it.",
                fix="Resume it with the optimizer it was trained with, or load it with shadownb.load() and train on without "
                "resume_from_checkpoint.",
            )
        copies: Arrays = {}
        states: dict[str, Arrays] = {}
        for name, array in read_arrays(folder / OPTIMIZER).items():
            kind, rest = name.split(_APART, 1)
            if kind == "state":
                owner, key = rest.rsplit(_APART, 1)
                states.setdefault(owner, {})[key] = array
            else:
                copies[rest] = array
        strange = set(states) ^ set(self._kinds) or set(copies) ^ set(self.copies)
        if states and strange:
            raise CheckpointError(f"The checkpoint's optimizer is of other weights: {min(strange)}.")
        self.copies = copies
        if self.head and (folder / HEAD_FILE).is_file():
            kept = read_arrays(folder / HEAD_FILE)
            self.head = {f"{HEAD}weight": kept["weight"][0], f"{HEAD}bias": kept["bias"]}
        for kind, optimizer in self._optimizers.items():
            own = {name: state for name, state in states.items() if self._kinds[name] == kind}
            step = mx.array(said["steps"][kind], mx.uint64)
            optimizer.state = {"step": step, "learning_rate": mx.array(0.0), **own}
        mx.eval(self.copies, self.head, [optimizer.state for optimizer in self._optimizers.values()])
