"""Full fine-tuning: every weight of the base is trained."""

from __future__ import annotations

from shadownb.engine.methods.spec import MethodSpec

SPEC = MethodSpec(
    name="full",
    title="Full fine-tuning",
    group="full",
    hint="Every weight is trained. Most memory and the largest result; forgets more easily.",
    data_shape="chats, prompt and answer pairs, or text",
    default_learning_rate=5e-5,
    rate_source="a tenth of the LoRA rate (LoRA Without Regret, 2025)",
    surface="weights",
    quantized_base=False,
)
