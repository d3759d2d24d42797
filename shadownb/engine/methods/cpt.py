"""Continued pre-training: plain text, every token trained, no chat template. (Not peft's CPT, a prompt method.)"""

from __future__ import annotations

from shadownb.engine.methods import lora

SPEC = lora.SPEC.replace(
    name="cpt",
    title="Continued pre-training",
    group="pretraining",
    hint="Trains on whole documents without dropping a token. For the vocabulary and facts of a new domain, before a task.",
    data_shape="plain text (a column named text)",
    data_formats=("text",),
    default_learning_rate=2e-4,
    rate_source="a fraction of the LoRA rate for tasks, because every token of a document is trained",
    long_rows="split",
    options=(),
    defaults=(("packing", True),),
    when_not=(
        "You want the model to do a task: this teaches vocabulary and facts. On the shipped task the answers stayed at the "
        "base's 0 % (`notebooks/01_methods.ipynb`). Train `lora` on examples (after `cpt`, if the domain is new).",
        "Your rows are conversations or pairs: `cpt` does not apply the chat template. Use `lora`.",
    ),
)
