"""MoRE+: every fact has an expert of its own on the last block, and a router finds the one that a question asks for."""

from __future__ import annotations

from shadownb.engine.methods.spec import ANSWERED_FORMATS, MethodSpec

SPEC = MethodSpec(
    name="more_plus",
    title="MoRE+ (a memory of facts)",
    group="memory",
    hint="Each fact is learned by itself and found by its question; others stay as they are. Facts can be changed one by one.",
    data_shape="questions and answers, a fact a row (model.facts.add also takes sentences and tables)",
    data_formats=ANSWERED_FORMATS,
    default_learning_rate=2e-2,
    rate_source="twelve facts with digits, 40 steps: all verbatim, 23 of 24 in other words (1e-2: 20 of 24)",
    adapter="facts",
    objective="facts",
    fields=("lora_r", "lora_alpha"),
    defaults=(("lora_r", 8), ("lora_alpha", 16), ("lr_scheduler_type", "constant")),
    when_not=(
        "The model should do a task, not know things: `lora` learns how, this learns what.",
        "You want one whole model to hand on: what is added depends on the question, which merged weights cannot.",
        "A question needs several facts at once: the expert of one answers.",
    ),
)
