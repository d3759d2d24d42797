"""Products with a frozen matrix by oneDNN, also in 32 bits, which torch gives to MKL.

On two AVX-512 cores the products of a LoRA step of SmolLM2-135M (forward, and back to the inputs) were 1.11 times faster than
MKL's, 1.08 to 1.34 by the noise of the machine, with the weights as they lie in memory (``benchmarks/parts.py``). Laid out
anew for it they would be 1.18 times faster, for two more copies of them.

The operator is private to torch: its schema is compared with the one known here, and what it computes with the plain product,
before it is used. It has no backward pass, so where a gradient is asked for the plain product is taken.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch.nn.functional import linear

FORMATS = (torch.float32, torch.bfloat16)
_SCHEMAS = (
    "mkldnn::_linear_pointwise(Tensor X, Tensor W, Tensor? B, str attr, Scalar?[] scalars, str? algorithm) -> Tensor Y",
    "mkldnn::_linear_pointwise.binary(Tensor X, Tensor other, Tensor W, Tensor? B, str attr) -> Tensor Y",
)
_TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 0.02}  # of the largest number


def refused(dtype: torch.dtype, device: torch.device | str = "cpu") -> str:
    """Return why these products cannot be had here, an empty string where they can."""
    if torch.device(device).type != "cpu":
        return f"oneDNN computes on the CPU, not on {torch.device(device).type}"
    if dtype not in FORMATS:
        return f"not for {str(dtype).removeprefix('torch.')}"
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return "this torch was built without oneDNN"
    if not torch.backends.mkldnn.enabled:
        return "oneDNN is switched off (torch.backends.mkldnn.enabled)"
    return _refused(dtype)


def product(
    rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None, onto: torch.Tensor | None = None
) -> torch.Tensor:
    """Return ``onto + rows weight' + bias``, summed in 32 bits and rounded once.

    Only where :func:`refused` gives no reason. A transposed view is no copy: ``product(gradient, weight.t())`` is what comes
    back to the inputs.

    Parameters
    ----------
    rows
        Shape (..., in).
    weight
        Shape (out, in), in the number format of the rows, with any strides.
    bias
        Shape (out,).
    onto
        What the sum begins with, shape (..., out); it stays as it is.
    """
    if not rows.numel() or (torch.is_grad_enabled() and (rows.requires_grad or weight.requires_grad)):
        return plain(rows, weight, bias, onto)
    if bias is not None:
        bias = bias.contiguous()  # the operator reads a bias as if its numbers lay side by side
    found: torch.Tensor
    if onto is None:
        found = torch.ops.mkldnn._linear_pointwise.default(rows, weight, bias, "none", [], "")
    else:
        found = torch.ops.mkldnn._linear_pointwise.binary(rows, onto, weight, bias, "add")
    return found


def plain(
    rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None, onto: torch.Tensor | None = None
) -> torch.Tensor:
    """Return what :func:`product` does, by torch's own operators."""
    if onto is None:
        return linear(rows, weight, bias)
    begun = onto if bias is None else onto + bias
    flat = torch.addmm(begun.reshape(-1, begun.shape[-1]), rows.reshape(-1, rows.shape[-1]), weight.t())
    return flat.view(*rows.shape[:-1], weight.shape[0])


@functools.cache
def _refused(dtype: torch.dtype) -> str:
    """Look at the operator itself, once a process: a later torch may have changed it."""
    try:
        packet: Any = torch.ops.mkldnn._linear_pointwise
        found = (str(packet.default._schema), str(packet.binary._schema))
        if found != _SCHEMAS:
            return f"torch {torch.__version__} has another operator than the one that is known here"
        numbers = torch.linspace(-1, 1, 24 * 40).view(24, 40).sin().to(dtype)
        weight = torch.linspace(-2, 3, 56 * 40).view(56, 40).cos().to(dtype)
        onto = torch.linspace(-3, 3, 24 * 56).view(24, 56).to(dtype)
        with torch.no_grad():
            back = product(onto, weight.t())
            pairs = [
                (product(numbers, weight, weight[:, 0]), plain(numbers, weight, weight[:, 0])),
                (product(numbers, weight, onto=onto), plain(numbers, weight, onto=onto)),
                (back, plain(onto, weight.t())),
            ]
    except (AttributeError, RuntimeError) as error:
        return f"torch {torch.__version__} does not compute it: {str(error).splitlines()[0]}"
    off = max(float((ours - theirs).float().abs().max() / theirs.float().abs().max()) for ours, theirs in pairs)
    return (
        ""
        if off < _TOLERANCE[dtype]
        else f"torch {torch.__version__} computes something else with it (off by {off:.2g})"
    )
