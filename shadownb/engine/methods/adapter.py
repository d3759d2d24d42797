"""Bottleneck adapters: a narrow network behind every block."""

from __future__ import annotations

from shadownb.engine.methods.spec import MethodSpec

SPEC = MethodSpec(
    name="adapter",
    title="Bottleneck adapter",
    group="adapter",
    hint="A narrow network behind every block (width lora_r). Cannot be merged into the weights.",
    data_shape="chats, prompt and answer pairs, or text",
    default_learning_rate=2e-3,
    rate_source="between the LoRA rate and the 1e-2 of narrow adapters (Houlsby et al., 2019, used 3e-4 to 3e-3)",
    surface="bottleneck",
    fields=("lora_r",),
)
