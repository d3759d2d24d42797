"""Products on a CPU under Linux: the quick form beside MLX's own, in value and gradient, and the layers it stands in."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx import nn

from shadownb.engine.backends.mlx import products, worker

WIDTH, OUT = 33, 70


class Small(nn.Module):
    def __init__(self, *, bias: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.table = nn.Embedding(OUT, WIDTH)
        self.layer = nn.Linear(WIDTH, OUT, bias=bias)

    def __call__(self, x: Any) -> Any:
        return mx.concatenate([self.layer(x), self.table.as_linear(x)], axis=-1)  # type: ignore[no-untyped-call]


def there(work: Callable[[], Any]) -> Any:
    """Compute in MLX's thread and return numpy arrays."""

    def computed() -> Any:
        found = work()
        mx.eval(found)
        return {name: np.array(array) for name, array in found.items()}

    return worker.run(computed)


def gradients(model: Any, x: Any, weights: Any) -> dict[str, Any]:
    def loss(x: Any, weight: Any, table: Any) -> Any:
        model.layer.weight, model.table.weight = weight, table
        return mx.sum(model(x) * weights)

    found = mx.grad(loss, argnums=(0, 1, 2))(x, model.layer.weight, model.table.weight)
    return dict(zip(("x", "weight", "table"), found, strict=True)) | {"out": model(x)}


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere MLX's own products are quick")
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (2, 7), (1, 64)], ids=str)
def test_values_and_gradients_are_those_of_mlx(shape: tuple[int, int], bias: bool) -> None:
    def both() -> dict[str, Any]:
        mx.random.seed(3)
        model = Small(bias=bias)
        x, weights = mx.random.normal((*shape, WIDTH)), mx.random.normal((*shape, 2 * OUT))
        plain = gradients(model, x, weights)
        products.quicken(model, "cpu")
        assert type(model.layer) is products.Linear and isinstance(model.layer, nn.Linear)
        return {f"plain {name}": found for name, found in plain.items()} | gradients(model, x, weights)

    found = there(both)
    for name in ("out", "x", "weight", "table"):
        np.testing.assert_allclose(found[name], found[f"plain {name}"], rtol=1e-5, atol=1e-4, err_msg=name)


def test_other_devices_and_formats_compute_as_mlx_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "product", lambda *_: pytest.fail("the form for 32 bits was taken"))

    def unchanged() -> dict[str, Any]:
        on_gpu, narrow = Small(bias=False), Small(bias=False)
        products.quicken(on_gpu, "gpu")
        assert type(on_gpu.layer) is nn.Linear and type(on_gpu.table) is nn.Embedding
        narrow.set_dtype(mx.bfloat16)
        x = mx.random.normal((9, WIDTH)).astype(mx.bfloat16)
        before = narrow(x)
        products.quicken(narrow, "cpu")
        return {"same": mx.array_equal(before, narrow(x))}

    assert bool(there(unchanged)["same"])


def test_a_layer_is_quantised_as_ever() -> None:
    def quantised() -> dict[str, Any]:
        layer: Any = nn.Linear(64, 8, bias=False)
        holder = nn.Module()  # type: ignore[no-untyped-call]
        holder.layer = layer
        products.quicken(holder, "cpu")
        nn.quantize(holder, 64, 4)
        return {"bits": mx.array(holder.layer.bits)}

    assert int(there(quantised)["bits"]) == 4
