"""SHiRA: a sparse, random few of the base's weights, at full rank."""

from __future__ import annotations

from shadownb.engine.methods.spec import MethodSpec

SPEC = MethodSpec(
    name="shira",
    title="SHiRA",
    group="adapter",
    hint="A sparse few weights of each layer. At its rate it learns faster than LoRA and forgets more; slower, a larger file.",
    data_shape="chats, prompt and answer pairs, or text",
    default_learning_rate=5e-3,
    rate_source="measured: 0.104 nats held out after 30 steps, the best of the adapters; single weights move slowly",
    adapter="layers",
    tuner="SHIRA",
    fields=("lora_r", "target_modules"),
    quantized_base=False,
)
