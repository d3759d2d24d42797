"""Linear layers with one input as one operation: ``W x + b + s B A x`` of each, and their gradients, summed where they stand.

peft scales and adds an adapter's output in passes of their own over the whole output of each layer, and autograd adds the
gradients that layers with one input (query, key and value; gate and up) send back in further ones. Here each product
starts from what is there already. So an adapter's part is also rounded once, with its base's, in 16 bits: added
afterwards, what is smaller than half a step of the rounding is lost (:mod:`..adapters.rounded_once`).

In 16 bits the pair is cast for its products, as autocast would do; what the optimizer moves stays in 32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from shadownb.engine.backends.torch.kernels import onednn_linear


@dataclass(frozen=True)
class Layer:
    """What a linear layer computes with; shapes (out, in), (out,), (r, in), (out, r).

    Attributes
    ----------
    weight, bias
        The base, frozen or trained.
    down, up, scaling
        The pair of a LoRA adapter; None and 1 without one.
    """

    weight: torch.Tensor
    bias: torch.Tensor | None = None
    down: torch.Tensor | None = None
    up: torch.Tensor | None = None
    scaling: float = 1.0


def computed(inputs: torch.Tensor, layers: list[Layer], *, onednn: bool) -> list[torch.Tensor]:
    """Return the outputs of layers, shape (..., out) each, of inputs of shape (..., in) in the weights' number format."""
    rows = inputs.reshape(-1, inputs.shape[-1])
    tensors = [part for layer in layers for part in (layer.weight, layer.bias, layer.down, layer.up)]
    scalings = tuple(layer.scaling for layer in layers)
    outputs = _Linears.apply(rows, scalings, onednn, *tensors)  # type: ignore[no-untyped-call]
    # Shaped out here: some models add to the output in place, which torch forbids of a view that a function returns.
    return [output.view(*inputs.shape[:-1], output.shape[-1]) for output in outputs]


def plain(inputs: torch.Tensor, layers: list[Layer]) -> list[torch.Tensor]:
    """Return what :func:`computed` does, by torch's own operators and in the adapter's number format."""
    found = []
    for layer in layers:
        output = torch.nn.functional.linear(inputs, layer.weight, layer.bias)
        if layer.down is not None and layer.up is not None:
            added = (inputs.to(layer.down.dtype) @ layer.down.t()) @ layer.up.t() * layer.scaling
            output = (output.to(added.dtype) + added).to(output.dtype)
        found.append(output)
    return found


class _Linears(torch.autograd.Function):
    """Shapes: rows (T, in); of each layer weight, bias, down and up, None where it has none; gives (T, out) of each."""

    @staticmethod
    def forward(
        ctx: Any, rows: torch.Tensor, scalings: tuple[float, ...], onednn: bool, *tensors: torch.Tensor | None
    ) -> tuple[torch.Tensor, ...]:
        product = onednn_linear.product if onednn else onednn_linear.plain
        ctx.set_materialize_grads(False)
        parts = [tensors[at : at + 4] for at in range(0, len(tensors), 4)]
        downs = [down.to(rows.dtype) for _, _, down, _ in parts if down is not None]
        together = torch.cat(downs) if len(downs) > 1 else downs[0] if downs else None
        inner = None if together is None else product(rows, together)
        outputs, ups, at = [], [], 0
        for scaling, (weight, bias, _, up) in zip(scalings, parts, strict=True):
            assert weight is not None
            if up is None or inner is None:
                outputs.append(product(rows, weight, bias))
                continue
            ups.append(up.to(rows.dtype) * scaling if scaling != 1.0 else up.to(rows.dtype))
            mine = inner[:, at : at + up.shape[1]]
            at += up.shape[1]
            if rows.dtype == torch.float32:  # starting from the thinner product's numbers costs a tenth of the wide one
                outputs.append(product(mine, ups[-1], None, product(rows, weight, bias)))
            else:
                outputs.append(product(rows, weight, bias, product(mine, ups[-1])))
        ctx.save_for_backward(rows, inner, together, *ups, *(weight for weight, *_ in parts))
        ctx.scalings, ctx.product = scalings, product
        ctx.formats = [
            (down.dtype, up.dtype) if down is not None and up is not None else None for *_, down, up in parts
        ]
        return tuple(outputs)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *gradients: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        rows, inner, together, *saved = ctx.saved_tensors
        gradients = tuple(
            g if g is None else g.contiguous() for g in gradients
        )  # of a sum, oneDNN is slow with its strides
        adapted = [number for number, formats in enumerate(ctx.formats) if formats is not None]
        ups, weights = saved[: len(adapted)], saved[len(adapted) :]
        needed = [ctx.needs_input_grad[3 + 4 * number : 7 + 4 * number] for number in range(len(weights))]
        found: list[torch.Tensor | None] = [None] * (4 * len(weights))
        product = ctx.product
        inner_gradient = None if inner is None else _inner_gradient(gradients, adapted, ups, inner, product)
        if inner is not None and inner_gradient is not None:
            for_downs, at = product(inner_gradient.t(), rows.t()), 0
            for number, up in zip(adapted, ups, strict=True):
                gradient, span = gradients[number], slice(at, at + up.shape[1])
                at += up.shape[1]
                if gradient is not None:
                    for_down, for_up = ctx.formats[number]
                    found[4 * number + 2] = for_downs[span].to(for_down)
                    # The thin side first: a product with few rows and many columns is the fast one of the two.
                    found[4 * number + 3] = (
                        product(inner[:, span].t(), gradient.t()).t().to(for_up) * ctx.scalings[number]
                    )
        for_rows = None
        for number, (weight, gradient) in enumerate(zip(weights, gradients, strict=True)):
            if gradient is None:
                continue
            if ctx.needs_input_grad[0]:
                back = product(gradient, weight.t())
                for_rows = back if for_rows is None else for_rows.add_(back)
            if needed[number][0]:
                found[4 * number] = product(gradient.t(), rows.t())
            if needed[number][1]:
                found[4 * number + 1] = gradient.sum(0)
        if for_rows is not None and inner_gradient is not None:
            for_rows = product(inner_gradient, together.t(), None, for_rows)
        return for_rows, None, None, *found


def _inner_gradient(
    gradients: tuple[torch.Tensor | None, ...],
    adapted: list[int],
    ups: list[torch.Tensor],
    inner: torch.Tensor,
    product: Callable[..., torch.Tensor],
) -> torch.Tensor | None:
    """Return the gradient of what all ``down`` gave, shape (T, sum of ranks); of an output that is not used it is zero."""
    if all(gradients[number] is None for number in adapted):
        return None
    if len(adapted) == 1:
        (gradient,) = (gradients[number] for number in adapted)
        assert gradient is not None
        return product(gradient, ups[0].t())
    found, at = torch.empty_like(inner), 0
    for number, up in zip(adapted, ups, strict=True):
        gradient, part = gradients[number], found[:, at : at + up.shape[1]]
        at += up.shape[1]
        if gradient is None:
            part.zero_()
        else:
            part.copy_(product(gradient, up.t()))
    return found
