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
)
