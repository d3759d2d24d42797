"""What a run's record keeps: what was decided before the first step, and what the trainer truly had."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from shadownb.engine import acceleration, estimate, hardware
from shadownb.engine.acceleration import Plan
from shadownb.engine.backends.torch import kernels
from shadownb.engine.backends.torch.attention import Packing
from shadownb.engine.backends.torch.surfaces import Surface, expert_products, rounded_once
from shadownb.engine.estimate import Estimate
from shadownb.engine.rendering.examples import Example

if TYPE_CHECKING:
    from shadownb.engine.backends.torch.training import TorchTraining
    from shadownb.engine.runs.services import RunServices


def plan_of(services: RunServices, surface: Surface, rows: list[Example]) -> tuple[Plan, Estimate]:
    """Return what the run asks its trainer for, and the memory and time it is expected to take."""
    model, config = services.model, services.config
    plain = config.replace(gradient_checkpointing="off")
    found = estimate.estimate_from(model, plain, rows, services.total_steps)
    known = acceleration.facts(str(model.device), model.dtype_name)
    in_use = sum(gb for line, gb in found.lines if line in estimate.IN_USE_ALREADY)
    plan = acceleration.plan(
        model.accelerator,
        config.optim,
        config.gradient_checkpointing,
        trained=sum(parameter.numel() for parameter in surface.owned().values()),
        needed_gb=max(0.0, found.expected_gb - in_use),
        known=known,
    )
    if plan.checkpointing[0]:
        recomputing = config.replace(gradient_checkpointing="on")
        found = estimate.estimate_from(model, recomputing, rows, services.total_steps)
    return plan, found


def planned(
    services: RunServices, surface: Surface, packing: Packing, rows: list[Example], plan: Plan, expected: Estimate
) -> dict[str, Any]:
    """Return the values of the ``record`` event at the start of an attempt."""
    config = services.config
    sequences = [row for example in rows for row in example.rows]
    return {
        "config": config.to_dict(),
        "model": services.model.describe(),
        "trainable_parameters": sum(parameter.numel() for parameter in surface.owned().values()),
        "tokens_in_data": sum(len(row.input_ids) for row in sequences),
        "trained_tokens_in_data": sum(row.predicted_tokens for row in sequences),
        "reach": expected.reach.to_dict() if expected.reach is not None else None,
        "estimate": estimate.as_dict(expected),
        "hardware": hardware.describe(),
        "versions": hardware.versions(),
        "decisions": {
            "packing": [packing.kind, packing.reason],
            **plan.to_dict(),
            "attention": list(services.model.decisions["attention"]),
            "quantization": list(services.model.decisions["quantization"]),
            "template": [services.model.renderer.template_source, services.model.renderer.template_reason],
        },
    }


def had(training: TorchTraining) -> dict[str, Any]:
    """Return what the training truly had at its first step, read from the objects and not from the plan."""
    optimizer, surface = training.optimizer, training.surface
    base = surface.base
    trained = list(surface.owned().values())
    moved = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    modules = list(surface.module.modules())
    return {
        "optimizer": type(optimizer).__module__.split(".")[0] + "." + type(optimizer).__name__,
        "fused_optimizer": bool(optimizer.defaults.get("fused")),
        "attention": "shadownb_rows over sdpa" if training.packing.kind == "rows" else base.config._attn_implementation,
        "gradient_checkpointing": any(getattr(module, "gradient_checkpointing", False) for module in modules),
        "fused_kernels": kernels.fused(modules),
        "layers_in_one_operation": training.passes.layers_in_one_operation,
        "layers_rounded_once": rounded_once.installed(surface.module),
        "expert_tensors_by_rows": expert_products.installed(surface.module),
        "gradient_reaches": training.gradients.reached,
        "quantized_layers": sum(type(m).__name__ in ("Linear4bit", "Linear8bitLt") for m in modules),
        "trained_dtypes": sorted({str(parameter.dtype).removeprefix("torch.") for parameter in moved}),
        "trained_parameters": sum(p.numel() for p in trained if p.requires_grad),
        "autocast": _AUTOCAST[training.autocast],
        "device": str(training.device),
    }


_AUTOCAST = {torch.bfloat16: "bf16", torch.float16: "fp16", None: "no"}
