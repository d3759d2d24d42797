"""Full fine-tuning: every weight of the base is trained."""

from __future__ import annotations

from shadownb.engine.methods.spec import MethodSpec

SPEC = MethodSpec(
    name="full",
    title="Full fine-tuning",
    group="full",
    hint="Trains every weight. Needs the most memory and saves the largest result.",
    data_shape="chats, prompt and answer pairs, or text",
    default_learning_rate=1e-4,
    rate_source="a tenth to a fifth of the LoRA rate (LoRA Without Regret, 2025); small models tolerate the upper end",
    adapter="weights",
    quantized_base=False,
    when_not=(
        "Memory or disk is short: each weight needs a gradient and two optimizer values (for a model of 135 million weights "
        "3.1 GB of memory, `lora` 1.7 GB; 538 MB on disk, `lora` 20 MB).",
        "Many tasks share one base: each result is a whole model, and asking the base as well takes a second copy.",
        "The base is loaded in 4 or 8 bits. Use `qlora`.",
    ),
)
