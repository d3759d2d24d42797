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
)
