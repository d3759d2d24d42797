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
    when_not=(
        "The model must go on doing other things: at its default rate it forgot about as much as `miss` (+0.34 "
        "nats a token on unrelated text, `notebooks/01_methods.ipynb`).",
        "The file should be small: it kept 59 MB where `lora` kept 20 MB, since the places of the weights are "
        "kept as well.",
        "The base is in 4 or 8 bits, or of the GPT-2 family: it changes the base's own weights in place. Use "
        "`qlora` or `lora`.",
    ),
)
