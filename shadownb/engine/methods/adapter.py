"""Bottleneck adapters: a narrow network behind every block."""

from __future__ import annotations

from shadownb.engine.methods.spec import MethodSpec

SPEC = MethodSpec(
    name="adapter",
    title="Bottleneck adapter",
    group="adapter",
    hint="A narrow network behind every block (width lora_r): a small file that cannot be merged.",
    data_shape="chats, prompt and answer pairs, or text",
    default_learning_rate=5e-3,
    rate_source="measured on a part of the training rows: 51 of 84 right (1e-2: 54, 2e-3: 38), the less forgotten the lower",
    adapter="bottleneck",
    fields=("lora_r",),
    when_not=(
        "You want one whole model to hand on: networks between the blocks cannot be merged into the base's "
        "weights. Use `lora`.",
        "Few steps must be enough: it learned less than `lora` in one pass over the shipped task (53 % to 71 %, "
        "`notebooks/01_methods.ipynb`).",
        "It should load with peft or a server of LoRA adapters: this is a file of ShadowNB's own.",
    ),
)
