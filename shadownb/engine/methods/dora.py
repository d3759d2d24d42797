"""DoRA: LoRA that learns the length of every weight column apart from its direction."""

from __future__ import annotations

from shadownb.engine.methods import lora

SPEC = lora.SPEC.replace(
    name="dora",
    title="DoRA",
    hint="LoRA with a learned length for every weight column. 1.6 times LoRA's time on a CPU, seldom better.",
    # peft's computation of the column lengths starts from plain LoRA weights.
    fields=tuple(field for field in lora.FIELDS if field != "init_lora_weights"),
    options=(("use_dora", True),),
    when_not=(
        "Time matters: it takes longer than `lora` (163 s to 131 s) and was not better on the shipped task (70 % "
        "to 71 %, `notebooks/01_methods.ipynb`).",
        "Memory is short: it keeps more for the backward pass (2.31 GB where `lora` has 1.66 GB, "
        "`benchmarks/memory.py`).",
        "You want PiSSA or LoftQ: it starts from plain LoRA weights alone.",
    ),
)
