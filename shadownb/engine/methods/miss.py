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
)
