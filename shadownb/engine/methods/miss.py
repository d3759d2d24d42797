"""MiSS: one shared block a layer instead of LoRA's pair."""

from __future__ import annotations

from shadownb.engine.methods.spec import MethodSpec

SPEC = MethodSpec(
    name="miss",
    title="MiSS",
    group="adapter",
    hint="Half as many weights as LoRA and a little less memory. At its default rate it learns faster and forgets more.",
    data_shape="chats, prompt and answer pairs, or text",
    default_learning_rate=1e-3,
    rate_source="twice the LoRA rate, because half as many weights are trained",
    adapter="layers",
    tuner="MISS",
    fields=("lora_r", "target_modules"),
    quantized_base=False,
    when_not=(
        "The model has to stay good at other things: at the default rate it forgot eight times as much as `lora` on "
        "unrelated text (+0.39 against +0.05 nats a token, `notebooks/01_methods.ipynb`).",
        "The base is loaded in 4 or 8 bits, or is a GPT-2 (its weights are transposed): peft's MiSS layers support neither. "
        "Use `qlora` or `lora`.",
    ),
)
