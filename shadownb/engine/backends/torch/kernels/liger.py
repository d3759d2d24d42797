"""Liger's fused kernels on a model's own modules, and on no other model of the process.

Liger binds its ``forward`` to each norm and activation of a model, and also puts its classes and its rotary embedding into
transformers' modeling module, for every model that is loaded or asked afterwards: one on the CPU could then not compute,
because the kernels are written in Triton, and one of ``accelerator="none"`` would have them. So what it changes there is
changed back, and the rotary embedding, which is looked up there in every pass, stays transformers'.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

from torch import nn
from transformers import PreTrainedModel

# Not its fused head: logits are computed at trained positions only, which saves more than fusing all of them.
OPTIONS = {"rope": False, "swiglu": True, "rms_norm": True, "cross_entropy": False, "fused_linear_cross_entropy": False}


def fuse(base: PreTrainedModel) -> None:
    """Bind the kernels to a model's norms and activations; a family that Liger does not know stays as it is."""
    from liger_kernel.transformers import _apply_liger_kernel_to_instance

    modeling = sys.modules[type(base).__module__]
    before = dict(vars(modeling))
    try:
        _apply_liger_kernel_to_instance(model=base, **OPTIONS)
    finally:
        vars(modeling).update(before)


def fused(modules: Iterable[nn.Module]) -> list[str]:
    """Return the names of the kernels that compute modules. Liger leaves their classes, so their ``forward`` is looked at."""
    bound = (getattr(module.forward, "__func__", module.forward) for module in modules)
    return sorted(
        {
            function.__qualname__.split(".")[0]
            for function in bound
            if (getattr(function, "__module__", None) or "").startswith("liger_kernel")
        }
    )
