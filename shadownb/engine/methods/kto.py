"""KTO: learn from single answers that were found good or bad."""

from __future__ import annotations

from shadownb.engine.methods import dpo, lora

SPEC = dpo.SPEC.replace(
    name="kto",
    title="KTO",
    hint="Learns from thumbs up and thumbs down on single answers; no pairs needed.",
    data_shape="answers with a verdict (prompt, completion, label), or preference pairs",
    data_formats=("unpaired_preference", *dpo.FORMATS),
    objective="kto",
    fields=lora.FIELDS,
    when_not=(
        "The model cannot do the task yet: KTO only changes how it does it. Train `lora` on right answers first and "
        "continue from that run.",
        "Each question has one right answer: on the shipped task `kto` went from 71 % to 35 % "
        "(`notebooks/01_methods.ipynb`). Train `lora` on the right answers.",
        "You have pairs: `dpo` compares the two answers with each other.",
    ),
)
