"""Losses on MLX: its arrays with what a formula may do with them, the functions of :mod:`shadownb.engine.objectives.arrays`.

MLX's own arrays cannot be used as they are: they know no masks as indices, and what a formula computes before a step, in the thread
of its run, would be of another thread than the passes are (:mod:`.worker`). So an array is held in one that sends every operation
there.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import mlx.core as mx
import numpy as np

from shadownb.engine.backends.mlx import sums, worker

Raw = Any  # an array of MLX


def number(x: Raw) -> float:
    """Return an array of one number as that, computed now."""
    return float(x.item())


class MlxArray:
    """An array of MLX for formulas."""

    __slots__ = ("value",)
    __hash__ = None  # type: ignore[assignment]  # compares element by element

    def __init__(self, value: Raw) -> None:
        self.value = value

    @property
    def shape(self) -> tuple[int, ...]:
        """Its sizes."""
        return tuple(self.value.shape)

    def __len__(self) -> int:
        return int(self.value.shape[0])

    def __iter__(self) -> Iterator[MlxArray]:
        return (self[number] for number in range(len(self)))

    def __repr__(self) -> str:
        return f"MlxArray({worker.run(self.value.tolist)})"

    def __getitem__(self, index: Any) -> MlxArray:
        return _computed(lambda value: value[_index(index)], self)

    def __add__(self, other: Any) -> MlxArray:
        return _computed(operator.add, self, other)

    def __radd__(self, other: Any) -> MlxArray:
        return _computed(operator.add, other, self)

    def __sub__(self, other: Any) -> MlxArray:
        return _computed(operator.sub, self, other)

    def __rsub__(self, other: Any) -> MlxArray:
        return _computed(operator.sub, other, self)

    def __mul__(self, other: Any) -> MlxArray:
        return _computed(operator.mul, self, other)

    def __rmul__(self, other: Any) -> MlxArray:
        return _computed(operator.mul, other, self)

    def __truediv__(self, other: Any) -> MlxArray:
        return _computed(operator.truediv, self, other)

    def __rtruediv__(self, other: Any) -> MlxArray:
        return _computed(operator.truediv, other, self)

    def __pow__(self, other: Any) -> MlxArray:
        return _computed(operator.pow, self, other)

    def __rpow__(self, other: Any) -> MlxArray:
        return _computed(operator.pow, other, self)

    def __neg__(self) -> MlxArray:
        return _computed(operator.neg, self)

    def __lt__(self, other: Any) -> MlxArray:
        return _computed(operator.lt, self, other)

    def __le__(self, other: Any) -> MlxArray:
        return _computed(operator.le, self, other)

    def __gt__(self, other: Any) -> MlxArray:
        return _computed(operator.gt, self, other)

    def __ge__(self, other: Any) -> MlxArray:
        return _computed(operator.ge, self, other)

    def __eq__(self, other: object) -> MlxArray:  # type: ignore[override]
        return _computed(operator.eq, self, other)

    def __ne__(self, other: object) -> MlxArray:  # type: ignore[override]
        return _computed(operator.ne, self, other)

    def __invert__(self) -> MlxArray:
        return _computed(mx.logical_not, self)

    def __and__(self, other: Any) -> MlxArray:
        return _computed(mx.logical_and, self, other)

    def __or__(self, other: Any) -> MlxArray:
        return _computed(mx.logical_or, self, other)


def _raw(x: Any) -> Any:
    return x.value if isinstance(x, MlxArray) else x


def _computed(function: Callable[..., Raw], *args: Any) -> MlxArray:
    """Return a function of arrays; outside of the passes it is evaluated, since only its own thread could do so later."""
    raw = [_raw(arg) for arg in args]
    if worker.here():
        return MlxArray(function(*raw))

    def there() -> Raw:
        found = function(*raw)
        mx.eval(found)
        return found

    return MlxArray(worker.run(there))


def _index(index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple(_index(part) for part in index)
    if isinstance(index, list) and index and isinstance(index[0], bool):
        index = MlxArray(mx.array(index))
    if not isinstance(index, MlxArray):
        return mx.array(index) if isinstance(index, list) else index
    if index.value.dtype == mx.bool_:
        return mx.array(np.nonzero(np.array(index.value))[0].astype(np.int32))
    return index.value


class MlxOps:
    """The functions of :class:`~shadownb.engine.objectives.arrays.Ops`."""

    def exp(self, x: MlxArray) -> MlxArray:
        return _computed(mx.exp, x)

    def log(self, x: MlxArray) -> MlxArray:
        return _computed(mx.log, x)

    def log_sigmoid(self, x: MlxArray) -> MlxArray:
        return _computed(lambda v: -mx.logaddexp(-v, mx.array(0.0)), x)

    def sigmoid(self, x: MlxArray) -> MlxArray:
        return _computed(mx.sigmoid, x)

    def relu(self, x: MlxArray) -> MlxArray:
        return _computed(lambda v: mx.maximum(v, 0.0), x)

    def abs(self, x: MlxArray) -> MlxArray:
        return _computed(mx.abs, x)

    def where(self, condition: MlxArray, x: MlxArray, y: MlxArray) -> MlxArray:
        return _computed(mx.where, condition, x, y)

    def minimum(self, x: MlxArray, y: MlxArray) -> MlxArray:
        return _computed(mx.minimum, x, y)

    def clip(self, x: MlxArray, low: float | None, high: float | None) -> MlxArray:
        return _computed(lambda v: mx.clip(v, low, high), x)

    def sum(self, x: MlxArray, axis: int | None = None) -> MlxArray:
        if axis is None:
            return _computed(sums.total, x)
        return _computed(lambda v: sums.sum_last(mx.moveaxis(v, axis, -1)), x)

    def mean(self, x: MlxArray) -> MlxArray:
        return _computed(sums.mean, x)

    def stack(self, parts: Sequence[MlxArray]) -> MlxArray:
        return _computed(lambda *values: mx.stack(list(values)), *parts)

    def stop(self, x: MlxArray) -> MlxArray:
        return _computed(mx.stop_gradient, x)

    def numbers(self, values: Any) -> MlxArray:
        found = np.asarray(values)
        return _computed(lambda: mx.array(found if found.dtype == np.bool_ else found.astype(np.float32)))

    def listed(self, x: MlxArray) -> Any:
        return worker.run(x.value.tolist)


class MlxTokens:
    """The trained tokens of whole rows, in the order of the rows; see :class:`~shadownb.engine.objectives.arrays.Tokens`.

    Parameters
    ----------
    logits
        Shape (N, vocabulary), in 32 bits.
    targets
        Shape (N,).
    counts
        How many trained tokens each row has.
    needs
        What the objective asked for beside log-probabilities.
    hidden, value
        Shapes (N, width) and (N,), where they are needed.
    """

    def __init__(
        self,
        logits: Raw,
        targets: Raw,
        counts: Sequence[int],
        needs: frozenset[str],
        hidden: Raw = None,
        value: Raw = None,
    ) -> None:
        self.rows = len(counts)
        self._counts, self._needs, self._hidden, self._value = counts, needs, hidden, value
        self._whole = sums.log_sum_exp(logits)
        self.logp = MlxArray(mx.take_along_axis(logits, targets[:, None], axis=-1)[:, 0] - self._whole)
        self._logits = logits if needs & {"logits", "entropy", "top_k"} else None

    @cached_property
    def _ends(self) -> list[int]:
        return np.cumsum(self._counts).tolist()  # type: ignore[no-any-return]

    def evaluated(self) -> MlxTokens:
        """Compute all of it now, so that it can be read in any thread."""
        kept = [self.logp.value, self._whole, self._logits, self._hidden, self._value]
        mx.eval([array for array in kept if array is not None])
        return self

    def by_row(self, values: MlxArray) -> MlxArray:
        """Sum (N,) values to (rows,); row by row, because a scatter has no fixed order on a GPU."""

        def summed(raw: Raw) -> Raw:
            spans = zip([0, *self._ends], self._ends, strict=False)
            return mx.stack([sums.total(raw[start:end]) for start, end in spans])

        return _computed(summed, values)

    def over(self, values: Sequence[float]) -> MlxArray:
        """Give each token the number of its row."""
        return self._given(np.repeat(np.asarray(values, np.float32), self._counts))

    def spread(self, values: Sequence[Sequence[Any]]) -> MlxArray:
        """Give each token its own number, or its own k."""
        return self._given(np.asarray([number for row in values for number in row], np.float32))

    def listed(self, values: MlxArray) -> list[list[float]]:
        """Return (N,) values as a list a row."""
        flat = worker.run(values.value.tolist)
        return [flat[start:end] for start, end in zip([0, *self._ends], self._ends, strict=False)]

    def _given(self, numbers: Any) -> MlxArray:
        return _computed(lambda: mx.array(numbers))

    # -- only what was asked for ----------------------------------------------------------------------------------------

    @property
    def entropy(self) -> MlxArray:
        """The entropy of each distribution, in nats."""
        self._asked("entropy")

        def found(logits: Raw, whole: Raw) -> Raw:
            logs = logits - whole[:, None]
            return -sums.sum_last(mx.exp(logs) * logs)

        return _computed(found, MlxArray(self._logits), MlxArray(self._whole))

    def top_k(self, k: int) -> tuple[MlxArray, MlxArray]:
        """Return the k most likely tokens of each position and their log-probabilities."""
        self._asked("top_k")
        order = _computed(lambda v: mx.argsort(-mx.stop_gradient(v), axis=-1)[:, :k], MlxArray(self._logits))
        return order, self._at(order)

    def logp_of(self, ids: Sequence[Sequence[Sequence[int]]]) -> MlxArray:
        """Return the log-probabilities of k given tokens at each position."""
        self._asked("logits" if "logits" in self._needs else "top_k")
        wanted = np.asarray([k for row in ids for k in row], np.int32)
        return self._at(self._given(wanted))

    def _at(self, ids: MlxArray) -> MlxArray:
        def found(logits: Raw, whole: Raw, wanted: Raw) -> Raw:
            return mx.take_along_axis(logits, wanted, axis=-1) - whole[:, None]

        return _computed(found, MlxArray(self._logits), MlxArray(self._whole), ids)

    @property
    def logits(self) -> MlxArray:
        """Shape (N, vocabulary)."""
        self._asked("logits")
        return MlxArray(self._logits)

    @property
    def hidden(self) -> MlxArray:
        """Shape (N, width)."""
        self._asked("hidden")
        return MlxArray(self._hidden)

    @property
    def value(self) -> MlxArray:
        """Shape (N,)."""
        self._asked("value")
        return MlxArray(self._value)

    def _asked(self, need: str) -> None:
        if need not in self._needs:
            raise AttributeError(f"The forward pass kept no {need}.")
