"""Bottleneck adapters: a narrow network behind every block."""

from __future__ import annotations

from shadownb.engine.methods.spec import MethodSpec

SPEC = MethodSpec(
    name="adapter",
    title="Bottleneck adapter",
    group="adapter",
    hint="A narrow network behind every block (width lora_r): the smallest file, forgets most at its rate, cannot be merged.",
    data_shape="chats, prompt and answer pairs, or text",
    default_learning_rate=5e-3,
    rate_source="measured: 0.107 nats held out after 30 steps, as LoRA at its best (Houlsby et al., 2019: 3e-4 to 3e-3)",
    surface="bottleneck",
    fields=("lora_r",),
)
