"""QLoRA: LoRA on a base held in 4 (or 8) bits, for models that would not fit otherwise."""

from __future__ import annotations

from shadownb.engine.methods import lora

SPEC = lora.SPEC.replace(
    name="qlora",
    title="QLoRA",
    hint="LoRA on a 4-bit base. Needs the least memory; steps are slower, because weights are unpacked in every pass.",
    quantized_base=True,
    when_not=(
        "The model fits in memory without it: rounding the base to 4 bits costs accuracy (56 % instead of 71 % of the shipped "
        "task at the same settings, `notebooks/01_methods.ipynb`), and each step takes longer.",
        "You want a single merged model: the adapter is not merged into 4-bit weights. Save it, load it on the 16-bit base, "
        "and merge there.",
    ),
)
