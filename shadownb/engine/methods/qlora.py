"""QLoRA: LoRA on a base held in 4 (or 8) bits, for models that would not fit otherwise."""

from __future__ import annotations

from shadownb.engine.methods import lora

SPEC = lora.SPEC.replace(
    name="qlora",
    title="QLoRA",
    hint="LoRA on a 4-bit base. Least memory; slower steps, because weights are unpacked on the way.",
    quantized_base=True,
    when_not=(
        "The model fits without it: rounding the base to 4 bits costs some right answers (56 % instead of 71 % of "
        "the shipped task at the same settings, `notebooks/01_methods.ipynb`), and a step takes longer.",
        "You want one whole model to hand on: the adapter is not merged into 4-bit weights. Save it, load the "
        "16-bit base with it, and merge there.",
    ),
)
