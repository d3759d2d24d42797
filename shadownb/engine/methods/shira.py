"""SHiRA: a sparse, random few of the base's weights, at full rank."""

from __future__ import annotations

from shadownb.engine.methods.spec import MethodSpec

SPEC = MethodSpec(
    name="shira",
    title="SHiRA",
    group="adapter",
    hint="Trains a few weights spread over each layer. Learns faster than LoRA and forgets more; slower steps, a larger file.",
    data_shape="chats, prompt and answer pairs, or text",
    default_learning_rate=5e-3,
    rate_source="measured: 0.104 nats held out after 30 steps, the best of the adapters; single weights move slowly",
    adapter="layers",
    tuner="SHIRA",
    fields=("lora_r", "target_modules"),
    quantized_base=False,
    when_not=(
        "The model has to stay good at other things: at the default rate it forgot about as much as `miss` (+0.34 nats a "
        "token on unrelated text, `notebooks/01_methods.ipynb`).",
        "The file has to be small: it saved 59 MB, `lora` 20 MB, since the positions of the weights are saved too.",
        "The base is loaded in 4 or 8 bits, or is a GPT-2: SHiRA changes the base's own weights in place. Use `qlora` or "
        "`lora`.",
    ),
)
