"""Full fine-tuning: every weight of the base is trained."""

from __future__ import annotations

from shadownb.engine.methods.spec import MethodSpec

SPEC = MethodSpec(
    name="full",
    title="Full fine-tuning",
    group="full",
    hint="Every weight is trained. Most memory and the largest result.",
    data_shape="chats, prompt and answer pairs, or text",
    default_learning_rate=1e-4,
    rate_source="a tenth to a fifth of the LoRA rate (LoRA Without Regret, 2025); small models bear the upper end",
    adapter="weights",
    quantized_base=False,
    when_not=(
        "Memory or disk is short: gradients and two numbers of the optimizer for every weight (3.1 GB where "
        "`lora` takes 1.7, and 538 MB kept where `lora` keeps 20, for a model of 135 million weights).",
        "Many tasks share one base: each result is a whole model, and asking the base beside it needs a second copy.",
        "The base is in 4 or 8 bits. Use `qlora`.",
    ),
)
