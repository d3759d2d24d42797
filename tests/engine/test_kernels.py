"""Kernels beside their plain references: values and gradients over shapes and number formats, and what takes their place."""

from __future__ import annotations

import pytest
import torch

from shadownb.engine.backends.torch.kernels import onednn_linear

FORMATS = [torch.float32, torch.bfloat16]
CLOSE = {torch.float32: {"rtol": 1e-5, "atol": 1e-5}, torch.bfloat16: {"rtol": 0.02, "atol": 0.05}}


def numbers(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize(("shape", "out"), [((1, 24), 8), ((0, 24), 8), ((2, 3, 70), 33), ((131, 64), 48)])
def test_products_are_the_plain_ones(dtype: torch.dtype, shape: tuple[int, ...], out: int) -> None:
    assert onednn_linear.refused(dtype) == ""
    rows, weight = numbers(*shape, dtype=dtype), numbers(out, shape[-1], dtype=dtype, seed=1)
    bias, onto = numbers(out, dtype=dtype, seed=2), numbers(*shape[:-1], out, dtype=dtype, seed=3)
    before = onto.clone()
    for given in (
        (rows, weight),
        (rows, weight, bias),
        (rows, weight, weight[:, 0]),
        (rows, weight, None, onto),
        (onto, weight.t()),
    ):
        torch.testing.assert_close(onednn_linear.product(*given), onednn_linear.plain(*given), **CLOSE[dtype])
    assert torch.equal(onto, before)
    if shape[0] > 100:  # rows that do not lie side by side, as slices of a wider tensor
        wide = numbers(shape[0], 3 * shape[-1], dtype=dtype)[:, 5 : 5 + shape[-1]]
        torch.testing.assert_close(onednn_linear.product(wide, weight), wide @ weight.t(), **CLOSE[dtype])


def test_a_gradient_that_is_asked_for_is_not_lost() -> None:
    rows, weight = numbers(5, 8).requires_grad_(), numbers(3, 8)
    onednn_linear.product(rows, weight).sum().backward()
    torch.testing.assert_close(rows.grad, weight.sum(0).expand(5, 8))


def test_products_are_refused_where_they_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "float64" in onednn_linear.refused(torch.float64)
    assert "cuda" in onednn_linear.refused(torch.float32, "cuda:0")
    with torch.backends.mkldnn.flags(enabled=False):
        assert "switched off" in onednn_linear.refused(torch.float32)
    monkeypatch.setattr(onednn_linear, "_SCHEMAS", ("another", "one"))
    onednn_linear._refused.cache_clear()
    assert "another operator" in onednn_linear.refused(torch.float32)
    monkeypatch.undo()
    monkeypatch.setattr(onednn_linear, "plain", lambda rows, weight, bias=None, onto=None: rows @ weight.t() * 1.1)
    onednn_linear._refused.cache_clear()
    assert "computes something else" in onednn_linear.refused(torch.bfloat16)
    onednn_linear._refused.cache_clear()
