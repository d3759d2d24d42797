"""Bottleneck adapters: a small network after every block (Houlsby et al., 2019)."""

from __future__ import annotations

from shadownb.engine.methods.spec import MethodSpec

SPEC = MethodSpec(
    name="adapter",
    title="Bottleneck adapter",
    group="adapter",
    hint="A small bottleneck network after every block (width lora_r). A small file, which cannot be merged into the base.",
    data_shape="chats, prompt and answer pairs, or text",
    default_learning_rate=5e-3,
    rate_source="measured on part of the training rows: 51 of 84 right (1e-2: 54, 2e-3: 38); lower rates forget less",
    adapter="bottleneck",
    fields=("lora_r",),
    when_not=(
        "You want a single merged model: networks between the blocks cannot be merged into the base's weights. Use `lora`.",
        "It has to learn in few steps: after one pass over the shipped task it answered 53 % right, `lora` 71 % "
        "(`notebooks/01_methods.ipynb`).",
        "The result has to load in peft or in a server of LoRA adapters: the file is in ShadowNB's own format.",
    ),
)
