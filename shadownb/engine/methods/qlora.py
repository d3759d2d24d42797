"""QLoRA: LoRA on a base held in 4 (or 8) bits, for models that would not fit otherwise."""

from __future__ import annotations

from shadownb.engine.methods import lora

SPEC = lora.SPEC.replace(
    name="qlora",
    title="QLoRA",
    hint="LoRA on a 4-bit base. Least memory; slower steps, because weights are unpacked on the way.",
    quantized_base=True,
)
