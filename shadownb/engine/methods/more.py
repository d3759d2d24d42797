"""MoRE: a memory whose answers are read off token by token; one small reader serves all facts, and adding one trains nothing."""

from __future__ import annotations

from shadownb.engine.methods.spec import ANSWERED_FORMATS, MethodSpec

SPEC = MethodSpec(
    name="more",
    title="MoRE (a memory that is read)",
    group="memory",
    hint="Each fact is stored by one look at it and said token by token where a question asks for it; adding one trains nothing.",
    data_shape="questions and answers, a fact a row (model.facts.add also takes sentences and tables)",
    data_formats=ANSWERED_FORMATS,
    default_learning_rate=2e-3,
    rate_source="forty tuning facts, 120 steps: 59 of 60 answers of other facts read whole among three (5e-3: 55)",
    adapter="reader",
    objective="reading",
    fields=("lora_r",),
    defaults=(("lora_r", 32), ("lr_scheduler_type", "constant")),
    when_not=(
        "The model should do a task, not know things: `lora` learns how, this says what.",
        "You want one whole model to hand on: what is said depends on the question, which merged weights cannot.",
        "The answer is to be put into a sentence: the stored words come out as they were given. `more_plus` trains each fact.",
    ),
)
