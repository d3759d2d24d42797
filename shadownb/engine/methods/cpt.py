"""Continued pre-training: plain text, every token trained, no chat template. (Not peft's CPT, a prompt method.)"""

from __future__ import annotations

from shadownb.engine.methods import lora

SPEC = lora.SPEC.replace(
    name="cpt",
    title="Continued pre-training",
    group="pretraining",
    hint="Reads whole documents, no token lost. For a new domain's words and facts, before teaching a task.",
    data_shape="plain text (a column named text)",
    data_formats=("text",),
    default_learning_rate=2e-4,
    rate_source="a fraction of the LoRA rate for tasks, because every token of a document is trained",
    long_rows="split",
    options=(),
    defaults=(("packing", True),),
    when_not=(
        "You want a task done: it teaches words and facts. On the shipped task it left the answers where the base "
        "had them, at 0 % (`notebooks/01_methods.ipynb`). Train `lora` on examples, afterwards if the domain is "
        "new.",
        "Your rows are conversations or pairs: the chat template would not be applied. Use `lora`.",
    ),
)
