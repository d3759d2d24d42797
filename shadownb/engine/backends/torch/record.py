"""What a training truly had at its first step, read from the objects and not from the plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from shadownb.engine.backends.torch.adapters import expert_products, rounded_once
from shadownb.engine.backends.torch.kernels import liger

if TYPE_CHECKING:
    from shadownb.engine.backends.torch.training import TorchTraining


def actual_setup(training: TorchTraining) -> dict[str, Any]:
    """Return what the training truly had at its first step, read from the objects and not from the plan."""
    optimizer, adapter = training.updates.optimizer, training.adapter
    base = adapter.base
    trained = list(adapter.owned().values())
    moved = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    modules = list(adapter.module.modules())
    return {
        "optimizer": type(optimizer).__module__.split(".")[0] + "." + type(optimizer).__name__,
        "fused_optimizer": bool(optimizer.defaults.get("fused")),
        "attention": "shadownb_rows over sdpa" if training.packing.kind == "rows" else base.config._attn_implementation,
        "gradient_checkpointing": any(getattr(module, "gradient_checkpointing", False) for module in modules),
        "fused_kernels": liger.fused(modules),
        "kernels": sorted(training.passes.kernels.on),
        "products_by": "oneDNN" if training.passes.kernels.computes_by_onednn else "torch",
        "layers_in_one_operation": training.passes.kernels.adapted,
        "layers_rounded_once": rounded_once.installed(adapter.module),
        "expert_tensors_by_rows": expert_products.installed(adapter.module),
        "gradient_reaches": training.gradients.reached,
        "quantized_layers": sum(type(m).__name__ in ("Linear4bit", "Linear8bitLt") for m in modules),
        "trained_dtypes": sorted({str(parameter.dtype).removeprefix("torch.") for parameter in moved}),
        "trained_parameters": sum(p.numel() for p in trained if p.requires_grad),
        "autocast": _AUTOCAST[training.autocast],
        "device": str(training.device),
        "processes": training.processes.size,
    }


_AUTOCAST = {torch.bfloat16: "bf16", torch.float16: "fp16", None: "no"}
