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
        "The model cannot do the task yet: it shifts what is there. Train `lora` on right answers first and go on "
        "from that run.",
        "Each question has one right answer: on the shipped task it fell from 71 % to 35 % "
        "(`notebooks/01_methods.ipynb`). Use `lora` on the right ones.",
        "You have pairs: `dpo` compares the two answers with each other.",
    ),
)
