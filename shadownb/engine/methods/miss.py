"""MiSS: one shared block a layer instead of LoRA's pair."""

from __future__ import annotations

from shadownb.engine.methods.spec import MethodSpec

SPEC = MethodSpec(
    name="miss",
    title="MiSS",
    group="adapter",
    hint="Half of LoRA's weights, a little less memory. At its rate it learns faster than LoRA and forgets more.",
    data_shape="chats, prompt and answer pairs, or text",
    default_learning_rate=1e-3,
    rate_source="twice the LoRA rate, because half as many weights are trained",
    adapter="layers",
    tuner="MISS",
    fields=("lora_r", "target_modules"),
    quantized_base=False,
    when_not=(
        "The model must go on doing other things: at its default rate it forgot eight times as much as `lora` on "
        "unrelated text (+0.39 to +0.05 nats a token, `notebooks/01_methods.ipynb`).",
        "The base is in 4 or 8 bits, or of the GPT-2 family, whose weights are transposed: peft's layers of this "
        "kind take neither. Use `qlora` or `lora`.",
    ),
)
