"""DoRA: LoRA that learns the length of every weight column apart from its direction."""

from __future__ import annotations

from shadownb.engine.methods import lora

SPEC = lora.SPEC.replace(
    name="dora",
    title="DoRA",
    hint="LoRA with a learned magnitude for every weight column. Takes 1.6 times as long as LoRA on a CPU; seldom better.",
    # peft's computation of the column lengths starts from plain LoRA weights.
    fields=tuple(field for field in lora.FIELDS if field != "init_lora_weights"),
    options=(("use_dora", True),),
    when_not=(
        "Time matters: it took 163 s where `lora` took 131 s, and was no better on the shipped task (70 % against 71 %, "
        "`notebooks/01_methods.ipynb`).",
        "Memory is short: it keeps more for the backward pass (2.31 GB, `lora` 1.66 GB; `benchmarks/memory.py`).",
        "You want PiSSA or LoftQ: it can only start from plain LoRA weights.",
    ),
)
