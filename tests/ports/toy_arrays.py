"""Arrays over numpy with gradients in a hundred lines: what a loss is written over, for a backend without a framework."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Backward = Callable[[np.ndarray], list[tuple["Array", np.ndarray]]]


class Array:
    """A numpy array that remembers what it was computed from."""

    __array_ufunc__ = None  # so that numpy leaves number * Array to us

    def __init__(self, value: Any, backward: Backward | None = None) -> None:
        self.value = np.asarray(value, dtype=None if np.asarray(value).dtype == bool else np.float64)
        self.grad = np.zeros_like(self.value)
        self._backward = backward

    shape = property(lambda self: self.value.shape)

    def __len__(self) -> int:
        return len(self.value)

    def __getitem__(self, at: Any) -> Array:
        def back(grad: np.ndarray) -> list[tuple[Array, np.ndarray]]:
            whole = np.zeros_like(self.value)
            np.add.at(whole, at, grad)
            return [(self, whole)]

        return Array(self.value[at], back)

    def __add__(self, other: Any) -> Array:
        return _both(self, other, np.add, lambda a, b, g: (g, g))

    def __sub__(self, other: Any) -> Array:
        return _both(self, other, np.subtract, lambda a, b, g: (g, -g))

    def __mul__(self, other: Any) -> Array:
        return _both(self, other, np.multiply, lambda a, b, g: (g * b, g * a))

    def __truediv__(self, other: Any) -> Array:
        return _both(self, other, np.divide, lambda a, b, g: (g / b, -g * a / b**2))

    def __pow__(self, power: float) -> Array:
        return _one(self, self.value**power, power * self.value ** (power - 1))

    def __neg__(self) -> Array:
        return self * -1.0

    __radd__, __rmul__ = __add__, __mul__

    def __rsub__(self, other: Any) -> Array:
        return -self + other

    def __lt__(self, other: Any) -> Array:
        return Array(self.value < _value(other))

    def __gt__(self, other: Any) -> Array:
        return Array(self.value > _value(other))

    def backward(self) -> None:
        """Add to the ``grad`` of everything that this number was computed from."""
        order: list[Array] = []
        seen: set[int] = set()
        links: dict[int, list[tuple[Array, np.ndarray]]] = {}

        def visit(node: Array) -> None:
            if id(node) in seen:
                return
            seen.add(id(node))
            probe = node._backward(np.ones_like(node.value)) if node._backward else []
            links[id(node)] = probe
            for parent, _ in probe:
                visit(parent)
            order.append(node)

        visit(self)
        self.grad = np.ones_like(self.value)
        for node in reversed(order):
            for parent, grad in node._backward(node.grad) if node._backward else []:
                parent.grad = parent.grad + grad


def _value(x: Any) -> np.ndarray:
    return x.value if isinstance(x, Array) else np.asarray(x, dtype=np.float64)


def _one(x: Array, value: np.ndarray, slope: np.ndarray) -> Array:
    return Array(value, lambda grad: [(x, grad * slope)])


def _both(x: Any, y: Any, function: Any, slopes: Callable[[Any, Any, Any], tuple[Any, Any]]) -> Array:
    a, b = _value(x), _value(y)

    def back(grad: np.ndarray) -> list[tuple[Array, np.ndarray]]:
        found = zip((x, y), (a, b), slopes(a, b, grad), strict=True)
        return [(side, _to_shape(part, value.shape)) for side, value, part in found if isinstance(side, Array)]

    return Array(function(a, b), back)


def _to_shape(grad: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Sum what was repeated to fit."""
    grad = np.asarray(grad)
    while grad.ndim > len(shape):
        grad = grad.sum(axis=0)
    for axis, size in enumerate(shape):
        if size == 1 and grad.shape[axis] != 1:
            grad = grad.sum(axis=axis, keepdims=True)
    return grad


class ToyOps:
    """The functions of :class:`shadownb.engine.objectives.arrays.Ops`."""

    def exp(self, x: Array) -> Array:
        return _one(x, np.exp(x.value), np.exp(x.value))

    def log(self, x: Array) -> Array:
        return _one(x, np.log(x.value), 1 / x.value)

    def log_sigmoid(self, x: Array) -> Array:
        return _one(x, -np.logaddexp(0, -x.value), 1 / (1 + np.exp(x.value)))

    def sigmoid(self, x: Array) -> Array:
        y = 1 / (1 + np.exp(-x.value))
        return _one(x, y, y * (1 - y))

    def relu(self, x: Array) -> Array:
        return _one(x, np.maximum(x.value, 0), (x.value > 0).astype(float))

    def abs(self, x: Array) -> Array:
        return _one(x, np.abs(x.value), np.sign(x.value))

    def where(self, condition: Array, x: Array, y: Array) -> Array:
        kept = condition.value.astype(bool)
        return _both(x, y, lambda a, b: np.where(kept, a, b), lambda a, b, g: (g * kept, g * ~kept))

    def minimum(self, x: Array, y: Array) -> Array:
        return self.where(Array(_value(x) <= _value(y)), x, y)

    def clip(self, x: Array, low: float | None, high: float | None) -> Array:
        value = np.clip(x.value, -np.inf if low is None else low, np.inf if high is None else high)
        return _one(x, value, (value == x.value).astype(float))

    def sum(self, x: Array, axis: int | None = None) -> Array:
        if axis is None:
            return _one(x, x.value.sum(), np.ones_like(x.value))
        return Array(
            x.value.sum(axis=axis), lambda grad: [(x, np.broadcast_to(np.expand_dims(grad, axis), x.value.shape))]
        )

    def mean(self, x: Array) -> Array:
        return self.sum(x) / x.value.size

    def stack(self, parts: Sequence[Array]) -> Array:
        return Array(np.stack([p.value for p in parts]), lambda grad: list(zip(parts, grad, strict=True)))

    def stop(self, x: Array) -> Array:
        return Array(x.value)

    def numbers(self, values: Any) -> Array:
        return Array(values)

    def listed(self, x: Array) -> Any:
        return x.value.tolist()
